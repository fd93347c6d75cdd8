"""Compiled scanners of texts: the lines of ARPA files, where Python would take a minute for two million."""

from typing import Any

import numba
import numpy as np

from asr.lm.vocabulary import find_word

RIGHT, TOO_MANY, NOT_A_NUMBER, POSITIVE, TOO_FEW, UNKNOWN_WORD, BACKOFF, TOO_MUCH, OVER = range(9)
"""What may be said of a line; OVER: there is none, the section is over."""
TAB, NEWLINE, RETURN, SPACE, PLUS, MINUS, POINT, ZERO, NINE, UPPER_E, BACKSLASH, LOWER_E = b"\t\n\r +-.09E\\e"
POWERS = 10.0 ** np.arange(23)
"""Those that float64 holds exactly, so that a division or multiplication by them rounds only once."""
LONGEST = 10**17
"""Digits that would make the mantissa longer than this do not matter."""


@numba.njit(cache=True, nogil=True)
def unigrams(text: Any, position: int, highest: bool, spans: Any, numbers: Any) -> tuple[int, int, int]:
    """Read the 1-grams.

    Args:
        text: uint8, shape (bytes,).
        position: where the first line begins.
        highest: whether this is the highest order of the model.
        spans: written, where each word begins and ends, int64, shape (lines, 2).
        numbers: written, log10 probabilities and back-offs, float32, shape (lines, 2).

    Returns:
        How many there are, where reading stopped, and what is wrong there.
    """
    row = 0
    while True:
        position, problem = _begin(text, position, numbers, row)
        if problem:
            return row, position, problem if problem != OVER else RIGHT
        begin = skip_blanks(text, position)
        position = skip_word(text, begin)
        if begin == position:
            return row, position, TOO_FEW
        spans[row, 0], spans[row, 1] = begin, position
        position, problem = _end(text, position, highest, numbers, row)
        if problem:
            return row, position, problem
        row += 1


@numba.njit(cache=True, nogil=True)
def ngrams(
    text: Any, position: int, highest: bool, letters: Any, ends: Any, table: Any, words: Any, numbers: Any
) -> tuple[int, int, int]:
    """Read the n-grams of a higher order, as `unigrams` does; `words`, int32, shape (lines, order), is written."""
    row = 0
    while True:
        position, problem = _begin(text, position, numbers, row)
        if problem:
            return row, position, problem if problem != OVER else RIGHT
        for column in range(words.shape[1]):
            begin = skip_blanks(text, position)
            position = skip_word(text, begin)
            if begin == position:
                return row, position, TOO_FEW
            words[row, column] = find_word(letters, ends, table, text, begin, position)
            if words[row, column] == 0:
                return row, begin, UNKNOWN_WORD
        position, problem = _end(text, position, highest, numbers, row)
        if problem:
            return row, position, problem
        row += 1


@numba.njit(cache=True, nogil=True)
def identify(text: Any, spans: Any, letters: Any, ends: Any, table: Any, ids: Any) -> None:
    """Write the ids of the words between `spans`."""
    for i in range(len(spans)):
        ids[i] = find_word(letters, ends, table, text, spans[i, 0], spans[i, 1])


@numba.njit(cache=True, nogil=True)
def _begin(text: Any, position: int, numbers: Any, row: int) -> tuple[int, int]:
    """Find the next line and read its probability."""
    while position < len(text) and (text[position] == NEWLINE or is_blank(text[position])):
        position += 1
    if position == len(text) or text[position] == BACKSLASH:
        return position, OVER
    if row == len(numbers):
        return position, TOO_MANY
    end = skip_word(text, position)
    value, right = number(text, position, end)
    if not right:
        return position, NOT_A_NUMBER
    if value > 0.0:
        return position, POSITIVE
    numbers[row, 0] = value
    return end, RIGHT


@numba.njit(cache=True, nogil=True)
def _end(text: Any, position: int, highest: bool, numbers: Any, row: int) -> tuple[int, int]:
    """Read the back-off weight, if there is one, and the end of the line."""
    numbers[row, 1] = 0.0
    position = skip_blanks(text, position)
    if position == len(text) or text[position] == NEWLINE:
        return position, RIGHT
    end = skip_word(text, position)
    value, right = number(text, position, end)
    if not right:
        return position, NOT_A_NUMBER
    if highest and value != 0.0:
        return position, BACKOFF
    numbers[row, 1] = value
    position = skip_blanks(text, end)
    if position < len(text) and text[position] != NEWLINE:
        return position, TOO_MUCH
    return position, RIGHT


@numba.njit(cache=True, nogil=True)
def is_blank(letter: int) -> bool:
    """Whether a byte separates words; a new line does too."""
    return letter in (SPACE, TAB, RETURN)


@numba.njit(cache=True, nogil=True)
def skip_blanks(text: Any, position: int) -> int:
    """Where the next word, or the end of the line, is."""
    while position < len(text) and is_blank(text[position]):
        position += 1
    return position


@numba.njit(cache=True, nogil=True)
def skip_word(text: Any, position: int) -> int:
    """Where the word ends that begins here."""
    while position < len(text) and text[position] != NEWLINE and not is_blank(text[position]):
        position += 1
    return position


@numba.njit(cache=True, nogil=True)
def number(text: Any, position: int, end: int) -> tuple[float, bool]:
    """The decimal number `text[position:end]`, and whether it is one; without infinity and not-a-number."""
    negative = position < end and text[position] == MINUS
    position += position < end and (text[position] == MINUS or text[position] == PLUS)
    mantissa, exponent, after_point, seen = np.int64(0), 0, False, False
    while position < end and (ZERO <= text[position] <= NINE or (text[position] == POINT and not after_point)):
        if text[position] == POINT:
            after_point = True
        else:
            seen = True
            if mantissa < LONGEST:
                mantissa = mantissa * 10 + (np.int64(text[position]) - ZERO)
                exponent -= after_point
            else:
                exponent += not after_point
        position += 1
    if seen and position < end and (text[position] == LOWER_E or text[position] == UPPER_E):
        position += 1
        below = position < end and text[position] == MINUS
        position += position < end and (text[position] == MINUS or text[position] == PLUS)
        seen = False
        power: Any = 0
        while position < end and ZERO <= text[position] <= NINE:
            seen = True
            if power < 1000:  # more is infinity or 0 anyway
                power = power * 10 + (np.int64(text[position]) - ZERO)
            position += 1
        exponent += -power if below else power
    value = float(mantissa)
    while exponent < 0:
        step = min(-exponent, 22)
        value, exponent = value / POWERS[step], exponent + step
    while exponent > 0:
        step = min(exponent, 22)
        value, exponent = value * POWERS[step], exponent - step
    return -value if negative else value, seen and position == end and value < np.inf
