// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A program of one's own, that signatures ask: own.bpf.h is its text, and module.h what it may use.
 * Of the filter's maps it uses the scratch memory, the proofs of sources, and the program array.
 */
#include "parse.h"
#include "cells.h"
#include "fields.h"
#include "established.h"
#include "memory.h"
#include "services.h"
#include "values.h"
#include "thin.h"
#include "module.h"

#include "table.bpf.h"
#include "maps.bpf.h"
#include "tick.bpf.h"
#include "clock.bpf.h"
#include "slot.bpf.h"
#include "flows.bpf.h"
#include "served.bpf.h"
#include "quic.bpf.h"
#include "answered.bpf.h"
#include "challenge.bpf.h"
#include "stages/view.bpf.h"
#include "own.bpf.h"
#include "stages/module.bpf.h"
