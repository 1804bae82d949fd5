/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Minecraft Bedrock and other games on RakNet: what a client that is not known yet may send is a
 * ping (1, 2) or one of two requests to open a connection (5, 7). All have RakNet's magic bytes,
 * at a place that depends on the type. Packets of known flows pass anyhow.
 */
static int has_magic(const u8 *at)
{
	static const u8 magic[16] = {0x00, 0xff, 0xff, 0x00, 0xfe, 0xfe, 0xfe, 0xfe,
				     0xfd, 0xfd, 0xfd, 0xfd, 0x12, 0x34, 0x56, 0x78};

	for (int n = 0; n < 16; n++)
		if (at[n] != magic[n])
			return 0;
	return 1;
}

MODULE decide(struct view *view)
{
	switch (view->payload[0]) {
	case 1: /* a ping: a time, magic, and who asks */
	case 2:
		return view->bytes >= 25 && has_magic(view->payload + 9) ? PASS : DROP;
	case 5: /* the first request: magic, a version, and zeros that try the path's MTU */
		return view->bytes >= 18 && has_magic(view->payload + 1) ? PASS : DROP;
	case 7: /* the second one: magic, the server's address, the MTU, and who asks */
		return view->bytes >= 34 && has_magic(view->payload + 1) ? PASS : DROP;
	}
	return DROP;
}
