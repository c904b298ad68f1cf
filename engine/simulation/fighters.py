"""The fighters of a simulated league: hidden skills, visible biographies, and plausible names.

`true_logit` is the ground truth: the log-odds of one fighter beating another, a nonlinear function of skill, age and
style. Models never see skills, only the statistics of fights (`engine.simulation.fights`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from engine.arrays import Floats, Indices

STRIKING, DEFENCE, WRESTLING, GRAPPLING, CARDIO, POWER, PACE = range(7)
"""Columns of the skills, in standard deviations of a debutant; pace is a style that pays off only with cardio."""

_SKILLS = 7
_AGEING = np.array([0.8, 1.0, 1.0, 0.6, 1.3, 0.4, 0.6])
_SHARPNESS = 0.36
"""Weight of skill in the result: the true probabilities then score a log loss of 0.60 to 0.62, as sharp odds do."""


@dataclass(frozen=True, slots=True)
class WeightClass:
    """A weight class: its share of the league's fighters and their mean height."""

    name: str
    share: float
    height_cm: float

    @property
    def women(self) -> bool:
        """True for a women's class."""
        return self.name.startswith("Women's")


WEIGHT_CLASSES = (
    WeightClass("Flyweight", 0.07, 166.0),
    WeightClass("Bantamweight", 0.12, 170.0),
    WeightClass("Featherweight", 0.13, 175.0),
    WeightClass("Lightweight", 0.15, 177.0),
    WeightClass("Welterweight", 0.14, 182.0),
    WeightClass("Middleweight", 0.11, 185.0),
    WeightClass("Light Heavyweight", 0.07, 188.0),
    WeightClass("Heavyweight", 0.07, 190.0),
    WeightClass("Women's Strawweight", 0.06, 161.0),
    WeightClass("Women's Flyweight", 0.05, 165.0),
    WeightClass("Women's Bantamweight", 0.03, 169.0),
)


@dataclass(frozen=True, eq=False)
class SimulatedFighters:
    """All fighters of a league, n of them; every array has length n.

    Attributes
    ----------
    skill
        Skills at the peak, float64 (n, 7).
    peak_age, debut_age
        Ages in years.
    weight_class
        Index into WEIGHT_CLASSES.
    height_cm, reach_cm
        Lengths in centimetres.
    stance, name
        str.
    unpriced
        Strength of which bookmakers know nothing, float64 (n,), of standard deviation 1. It counts in results as far as
        a league's market is blind.
    """

    skill: Floats
    peak_age: Floats
    debut_age: Floats
    weight_class: Indices
    height_cm: Floats
    reach_cm: Floats
    stance: NDArray[np.str_]
    name: NDArray[np.str_]
    unpriced: Floats

    @property
    def fighter_id(self) -> NDArray[np.str_]:
        """The name in lower case without spaces."""
        return np.char.replace(np.char.lower(self.name), " ", "")


def draw_fighters(count: int, rng: np.random.Generator) -> SimulatedFighters:
    """Return `count` fighters, divided among the weight classes by their shares."""
    bounds = np.cumsum([division.share for division in WEIGHT_CLASSES])
    order = (np.arange(count) + 0.5) / count * bounds[-1]
    division = rng.permutation(np.searchsorted(bounds, order)).astype(np.intp)
    talent = rng.normal(size=(count, 1))
    skill = 0.65 * talent + 0.75 * rng.normal(size=(count, _SKILLS))
    skill[:, PACE] -= 0.65 * talent[:, 0]
    mean_height = np.array([each.height_cm for each in WEIGHT_CLASSES])[division]
    height = np.round(mean_height + rng.normal(0.0, 4.5, count))
    women = np.array([each.women for each in WEIGHT_CLASSES])[division]
    return SimulatedFighters(
        skill=skill,
        peak_age=rng.normal(28.0, 1.0, count),
        debut_age=np.clip(rng.normal(26.5, 3.5, count), 19.0, 36.0),
        weight_class=division,
        height_cm=height,
        reach_cm=np.round(height * 1.025 + rng.normal(0.0, 3.5, count)),
        stance=rng.choice(["Orthodox", "Southpaw", "Switch"], size=count, p=[0.77, 0.17, 0.06]),
        name=_draw_names(women, rng),
        unpriced=rng.spawn(1)[0].normal(size=count),  # a stream of its own, so that all other draws stay
    )


def skills_at_age(fighters: SimulatedFighters, indices: Indices, age_years: Floats) -> Floats:
    """Return the skills of fighters at their ages, (m, 7): rising slowly to the peak, then falling faster."""
    past = age_years - fighters.peak_age[indices]
    loss = np.where(past > 0, 0.030, 0.010) * past**2
    aged: Floats = fighters.skill[indices] - loss[:, None] * _AGEING
    return aged


def true_logit(
    fighters: SimulatedFighters, pair: tuple[Indices, Indices], ages: tuple[Floats, Floats], rounds: Floats
) -> Floats:
    """Return the log-odds that the first of each pair beats the second, (m,); swapping them changes the sign."""
    first, second = (skills_at_age(fighters, indices, age) for indices, age in zip(pair, ages, strict=True))
    reach = fighters.reach_cm[pair[0]] - fighters.reach_cm[pair[1]]
    southpaw = (fighters.stance == "Southpaw").astype(np.float64)
    logit: Floats = (
        _SHARPNESS * (_threat(first, second, rounds) - _threat(second, first, rounds))
        + 0.015 * reach
        + 0.15 * (southpaw[pair[0]] - southpaw[pair[1]])
    )
    return logit


def takedown_share(own: Floats, other: Floats) -> Floats:
    """Return the share of takedowns that succeed, (m,), from the skills of both sides, (m, 7)."""
    return np.asarray(
        expit(0.9 * own[:, WRESTLING] - 0.7 * other[:, WRESTLING] - 0.2 * other[:, DEFENCE] - 0.4), dtype=np.float64
    )


def _threat(own: Floats, other: Floats, rounds: Floats) -> Floats:
    """Return the threat of one side, (m,): damage on the feet, control on the ground, and stamina in later rounds."""
    striking, _, _, grappling, cardio, power, pace = own.T
    damage = np.exp(0.40 * (striking + 0.5 * power - other[:, DEFENCE]))
    control = np.exp(0.40 * (grappling - other[:, GRAPPLING]))
    lasting = 0.10 * rounds * cardio + 0.12 * pace * cardio
    threat: Floats = (1.0 - 0.6 * takedown_share(other, own)) * damage + takedown_share(own, other) * control + lasting
    return threat


def _draw_names(women: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.str_]:
    """Return a different name for each fighter: first and last names drawn without replacement."""
    names = np.empty(len(women), dtype=object)
    last_names = _LAST.split()
    for chosen, first_names in ((women, _WOMEN.split()), (~women, _MEN.split())):
        picks = rng.choice(len(first_names) * len(last_names), size=int(chosen.sum()), replace=False)
        names[chosen] = [
            f"{first_names[pick % len(first_names)]} {last_names[pick // len(first_names)]}" for pick in picks
        ]
    return names.astype(np.str_)


# No first name is a short form of another: a name must match exactly one person.
_MEN = """
    Aaron Adrian Ahmed Akira Alessandro Andre Anton Arjun Arturo Axel Bastian Bogdan Boris Bruno Caleb Carlos Casper
    Cedric Cole Damian Dario Denis Diego Dmitri Dominik Edgar Elias Emeka Emilio Enzo Erik Ezra Fabian Felipe Filip
    Florian Gael Garrett Gustavo Hamza Hector Hugo Ibrahim Igor Ilya Isaac Ivan Jakub Jamal Jasper Javier Joaquin Jonas
    Julian Karim Kenji Khalid Kofi Lamar Lars Leandro Logan Luka Magnus Malik Marcel Mateus Milan Musa Nikolai Nolan
    Omar Oscar Pavel Pedro Rafael Ramon Rashid Renato Ricardo Ruslan Santiago Sergei Silas Stefan Sultan Tariq Teodor
    Thiago Tomas Umar Valentin Viktor Walter Xavier Yusuf Zane"""
_WOMEN = """
    Adriana Alina Amara Anika Astrid Bianca Camila Carmen Chiara Dalia Daria Elena Fatima Freya Gabriela Hana Helena
    Ines Ingrid Irina Isabel Jade Joana Karina Keiko Lara Leila Livia Lucia Marisol Mei Mila Nadia Naomi Nina Olga Paula
    Priya Renata Rosa Sabina Selma Sofia Tamara Tatiana Thandi Uma Valeria Yara Zoe"""
_LAST = """
    Abara Acosta Adeyemi Aguilar Albrecht Almeida Andersson Aoki Arslan Avila Bakker Banerjee Barros Baumann Becker
    Belmonte Berg Bianchi Blackwood Bondar Borges Brandt Calloway Campos Cardoso Carver Castellano Chavez Chukwu Cordova
    Costello Crawley Dahl Dalton Danso Delgado Demir Desai Dias Dorsey Draganov Duarte Eklund Ellison Escobar Esposito
    Falk Farouk Fedorov Ferrara Fischer Fontaine Fuentes Gallo Garrido Gashi Gomes Grady Greco Guerra Haddad Halvorsen
    Hartmann Hayashi Herrera Hoffmann Holloman Horvat Ibarra Idowu Ismailov Ito Jankovic Jarvela Jensen Kaczmarek Kamara
    Kane Karimov Kato Keller Kimura Kovac Kozlov Kruger Larsen Leclerc Lindqvist Lombardi Lucero Macedo Madsen Maier
    Makarov Marchetti Marinov Mbeki Medeiros Mendoza Mensah Meyer Molina Moreau Moretti Morozov Nakamura Navarro Nielsen
    Nikolaev Novak Nwosu Obi Ochoa Okafor Olsen Orlov Ortega Osei Pacheco Paredes Pavlov Peralta Petrov Pinto Popescu
    Quintero Radic Rahimi Ramos Reyes Rinaldi Rocha Romano Rossi Ryland Sadiq Salazar Sandoval Santoro Sato Schneider
    Serrano Shaw Silveira Sokolov Sorensen Stoyanov Suarez Takeda Tavares Teixeira Toledo Toure Urbina Valdez Vance
    Varga Vasquez Velasco Vogel Volkov Wagner Watanabe Weber Whitlock Yamada Yilmaz Zamora Zapata Zielinski"""
