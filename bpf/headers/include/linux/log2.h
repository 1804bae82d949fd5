/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Empty: bcc asks for this file, and brings what it needs of it itself. */
