/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * UDP ports of services, which answer whoever asks: packets from there are answers, or amplified.
 * The ports are those of xdpctl/model/services.py. The compiler's caller defines them, as the cases
 * of a switch, and PORT_DNS, PORT_HTTPS and QUIC_INITIAL_LEAST.
 */
#ifndef XDPCTL_SERVICES_H
#define XDPCTL_SERVICES_H

#include "parse.h"

static __always_inline int is_service(u32 port)
{
	switch (port) {
		SERVICE_CASES
		return 1;
	}
	return port < SERVICES_BELOW;
}

#endif
