"""Importers of fights: what people have (exports, public tables, feeds of scores) into a fight log, by source ids."""
