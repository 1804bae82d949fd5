/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A game whose clients begin with "HELO" and the number that they were given, at first 0. Whoever
 * brings the right number exists, and passes for an hour. All others get a number: "NUMB" and four
 * bytes. Add it with --challenge.
 */
MODULE decide(struct view *view)
{
	struct {
		char word[4];
		u32 number;
	} answer = {.word = {'N', 'U', 'M', 'B'}};
	u32 brought;

	if (is_proven(view)) {
		proves(view); /* for another hour, so that nobody is cut off while he plays */
		return PASS;
	}
	if (view->bytes < 8 || view->payload[0] != 'H' || view->payload[1] != 'E' ||
	    view->payload[2] != 'L' || view->payload[3] != 'O')
		return DROP;
	__builtin_memcpy(&brought, view->payload + 4, sizeof(brought));
	if (is_keyed(view, 0, brought)) {
		proves(view);
		return PASS;
	}
	answer.number = keyed(view, 0);
	reply(view, &answer, sizeof(answer));
	return CHALLENGE;
}
