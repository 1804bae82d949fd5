# SPDX-License-Identifier: GPL-2.0-or-later
"""What tests share: a faked kernel, a running application, generators of addresses and packets."""
