/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Access to the values of an array map without a look-up: its address is a constant in the program,
 * which costs neither a branch nor a key in memory.
 */
#ifndef XDPCTL_VALUES_H
#define XDPCTL_VALUES_H

#include "parse.h"

#define LETTER(name, at) ((u64)(u8)(name "\0\0\0\0\0\0\0")[at] << 8 * (at))
#define LETTERS(name)                                                                              \
	(LETTER(name, 0) | LETTER(name, 1) | LETTER(name, 2) | LETTER(name, 3) | LETTER(name, 4) | \
	 LETTER(name, 5) | LETTER(name, 6) | LETTER(name, 7))

/*
 * Defines `map_values()`, which returns the first value of a map. The constant is the map's name,
 * of up to 8 letters; the loader replaces it by the address, and makes all values the only one of
 * the map, since no other map has an address (xdpctl/datapath/loader/compiler.py).
 */
#define VALUES(type, map)                                                                          \
	static __always_inline type *map##_values(void)                                            \
	{                                                                                          \
		_Static_assert(sizeof(#map) <= 9, "the name of a map with values is too long");    \
		type *first;                                                                       \
                                                                                                   \
		asm volatile("%0 = %1 ll" : "=r"(first) : "i"(LETTERS(#map)));                     \
		return first;                                                                      \
	}

#endif
