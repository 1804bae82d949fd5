/* SPDX-License-Identifier: GPL-2.0-or-later */
/* UDP ports of services, which answer whoever asks: from there come answers, and amplified ones. */
#ifndef XDPCTL_SERVICES_H
#define XDPCTL_SERVICES_H

#include "parse.h"

static __always_inline int is_service(u32 port)
{
	switch (port) {
	case 1194:
	case 1434:
	case 1900:
	case 3283:
	case 3389:
	case 3478:
	case 3702:
	case 4500:
	case 5060:
	case 5353:
	case 5683:
	case 11211:
	case 27015:
	case 37810:
		return 1;
	}
	return port < 1024;
}

#endif
