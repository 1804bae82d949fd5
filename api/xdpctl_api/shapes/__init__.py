# SPDX-License-Identifier: GPL-2.0-or-later
"""The JSON of requests and answers, and its conversion from and to the model."""
