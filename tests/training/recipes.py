"""Recipes made of another."""

from asr.config import Recipe


def change(recipe: Recipe, **tables: dict) -> Recipe:
    values = recipe.model_dump()
    for table, changes in tables.items():
        values[table] |= changes
    return Recipe.model_validate(values)
