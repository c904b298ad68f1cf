"""Compiled loops of simultaneous Kelly stakes; `engine.market.simultaneous_kelly` has the equations.

Arrays have an element for each of the bets that differ. Arguments are not checked here.
"""

from __future__ import annotations

from math import exp

import numpy as np

from engine.arrays import Array
from engine.compilation import kernel

_MAX_STEPS = 50
_MAX_GAP = 1e-12
_MAX_MOVE = 1e-8  # the error of the last step is about its square
_TO_BOUNDARY = 0.995
_EXPONENT = 45.0  # e^-45 is below the rounding error of the integral


@kernel
def maximise_growth(
    probability: Array, price: Array, number: Array, max_total: float, nodes: Array, weights: Array
) -> Array:
    """Return the stake of each bet, of which there are `number` equal ones, by a primal-dual interior-point method.

    `spare` is what the stakes leave of `max_total`. At the maximum either a stake or its multiplier is 0, and either
    the spare or its multiplier. If nearly all of the bankroll is staked, rounding errors can end the search early: then
    the answer is the stakes with the smallest duality gap that were found.
    """
    size = len(price)
    single = (probability * price - 1.0) / (price - 1.0)
    stake = single / (1.0 + np.sum(number * single))
    spare = max_total - np.sum(number * stake)
    centre = 1e-4 * np.max(single) * np.max(number * (probability * price - 1.0))
    stake_multiplier, spare_multiplier = centre / stake, centre / spare
    gradient, hessian = np.empty(size), np.empty((size, size))
    best, best_gap, converged = stake, np.inf, False
    for _ in range(_MAX_STEPS):
        _derivatives(stake, spare + (1.0 - max_total), probability, price, number, nodes, weights, gradient, hessian)
        duality_gap = max_total * max(0.0, np.max(gradient / number)) - np.sum(gradient * stake)
        if converged and duality_gap <= _MAX_GAP:
            return stake
        if duality_gap < best_gap:
            best, best_gap = stake, duality_gap
        for row in range(size):
            for column in range(row + 1):
                hessian[row, column] -= spare_multiplier / spare * number[row] * number[column]
            hessian[row, row] -= stake_multiplier[row] / stake[row]
        if not _factorise(hessian):
            break  # rounding errors are all that is left
        gap = (np.sum(stake * stake_multiplier) + spare * spare_multiplier) / (size + 1)
        move, turn, spare_move, spare_turn = np.zeros(size), np.zeros(size), 0.0, 0.0
        length, turned, aim = 1.0, 1.0, 0.0
        for corrects in (False, True):
            # Of the products of bounds and multipliers: 0 in a first direction, which shows what to aim at.
            targets = aim - move * turn
            spare_target = aim - spare_move * spare_turn
            move = _solve(hessian, gradient + targets / stake - number * (spare_target / spare))
            spare_move = -np.sum(number * move)
            turn = (targets - stake_multiplier * move) / stake - stake_multiplier
            spare_turn = (spare_target - spare_multiplier * spare_move) / spare - spare_multiplier
            share = _TO_BOUNDARY if corrects else 1.0
            length = share / max(share, np.max(-move / stake), -spare_move / spare)
            turned = share / max(share, np.max(-turn / stake_multiplier), -spare_turn / spare_multiplier)
            if not corrects:
                ahead = np.sum((stake + length * move) * (stake_multiplier + turned * turn))
                ahead += (spare + length * spare_move) * (spare_multiplier + turned * spare_turn)
                aim = (ahead / (size + 1)) ** 3 / gap**2
        if not np.isfinite(np.sum(move)):
            break
        stake, spare = stake + length * move, spare + length * spare_move
        stake_multiplier, spare_multiplier = stake_multiplier + turned * turn, spare_multiplier + turned * spare_turn
        converged = bool(gap <= _MAX_GAP and np.max(np.abs(move)) <= _MAX_MOVE)
    return best


@kernel
def _derivatives(
    stake: Array,
    cash: float,
    probability: Array,
    price: Array,
    number: Array,
    nodes: Array,
    weights: Array,
    gradient: Array,
    hessian: Array,
) -> None:
    """Fill the gradient and the lower triangle of the Hessian of the mean log growth."""
    size = len(price)
    own, slope, square = np.zeros(size), np.empty(size), np.empty(size)
    gradient[:] = 0.0
    hessian[:] = 0.0
    for node in range(len(nodes)):
        t = nodes[node]
        if t * cash > _EXPONENT:
            break
        density = weights[node] * exp(-t * cash)
        for bet in range(size):
            won = probability[bet] * exp(-t * stake[bet] * price[bet])
            lost = 1.0 - probability[bet]
            density *= (won + lost) ** number[bet]
            slope[bet] = ((price[bet] - 1.0) * won - lost) / (won + lost)
            square[bet] = ((price[bet] - 1.0) ** 2 * won + lost) / (won + lost)
        for bet in range(size):
            gradient[bet] += density * slope[bet]
            own[bet] += density * t * square[bet]
            for other in range(bet + 1):
                hessian[bet, other] -= density * t * slope[bet] * slope[other]
    for bet in range(size):
        gradient[bet] *= number[bet]
        for other in range(bet):
            hessian[bet, other] *= number[bet] * number[other]
        hessian[bet, bet] = number[bet] * ((number[bet] - 1.0) * hessian[bet, bet] - own[bet])


@kernel
def _factorise(matrix: Array) -> bool:
    """Replace the lower triangle of a matrix by the Cholesky factor of its negative; return False if there is none."""
    for row in range(len(matrix)):
        for column in range(row + 1):
            rest = -matrix[row, column]
            for before in range(column):
                rest -= matrix[row, before] * matrix[column, before]
            if row > column:
                matrix[row, column] = rest / matrix[column, column]
            elif rest > 0.0:
                matrix[row, row] = np.sqrt(rest)
            else:
                return False
    return True


@kernel
def _solve(factor: Array, right: Array) -> Array:
    """Solve linear equations by the Cholesky factor of their matrix."""
    values = right.copy()
    for row in range(len(values)):
        for before in range(row):
            values[row] -= factor[row, before] * values[before]
        values[row] /= factor[row, row]
    for row in range(len(values) - 1, -1, -1):
        for after in range(row + 1, len(values)):
            values[row] -= factor[after, row] * values[after]
        values[row] /= factor[row, row]
    return values
