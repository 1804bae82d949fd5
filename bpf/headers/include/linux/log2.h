/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Empty: bcc includes this file, but has its own copy of the definitions it needs. */
