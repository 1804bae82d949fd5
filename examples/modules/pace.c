/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A pace for each source, of its own kind: a source that has sent twenty datagrams of more than
 * 1,000 bytes may send no more of them within the same epoch, which is the upper half of a counter
 * of all packets. Small ones always pass. It shows memory_of().
 */
MODULE decide(struct view *view)
{
	u64 *all, *of_source, epoch;

	if (view->bytes <= 1000)
		return PASS;
	all = memory_of(0);
	if (!all)
		return PASS;
	epoch = __sync_fetch_and_add(&all[0], 1) >> 16;
	of_source =
	    memory_of((u64)view->source[0] << 32 | (view->family == 6 ? view->source[1] : 1));
	if (!of_source)
		return PASS;
	if (of_source[1] != epoch) {
		of_source[1] = epoch;
		of_source[0] = 0;
	}
	return __sync_fetch_and_add(&of_source[0], 1) < 20 ? PASS : DROP;
}
