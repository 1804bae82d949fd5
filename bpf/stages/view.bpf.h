/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What module.h promises to modules. Their own code follows this file. */

#define MODULE_NUMBERS 0x6d6f6475 /* keeps the numbers of modules and of challenges apart */

struct kept {
	u64 numbers[2];
};

BPF_F_TABLE("lru_hash", u64, struct kept, kept, REMEMBERED, 0);
BPF_F_TABLE("percpu_array", u32, struct module_counts, module_counts, 1, 0);

static __always_inline int further(struct view *view, u32 offset, void *to, u32 size)
{
	if (offset > 65535 || offset + size > view->bytes)
		return -1;
	return load_bytes(view->frame, view->at + offset, to, size) < 0 ? -1 : 0;
}

static __always_inline u32 number_of(struct view *view, u32 extra, u64 before)
{
	u32 zero = 0, ports = view->source_port << 16 | (view->destination_port & 65535);
	struct challenge *challenge = challenges.lookup(&zero), own;

	if (!challenge)
		return 0;
	/* a key of its own: nobody learns the filter's numbers from those of a module */
	own.key[0] = challenge->key[0] ^ (u64)extra << 32;
	own.key[1] = challenge->key[1] ^ MODULE_NUMBERS;
	return challenge_number(&own, &view->scratch->packet, ports,
				(limits_ns() >> CHALLENGE_EPOCH_LOG2) - before);
}

static __always_inline u32 keyed(struct view *view, u32 extra)
{
	return number_of(view, extra, 0);
}

static __always_inline int is_keyed(struct view *view, u32 extra, u32 number)
{
	return number_of(view, extra, 0) == number || number_of(view, extra, 1) == number;
}

static __always_inline int is_proven(struct view *view)
{
	return has_answered(controls_values(), &view->scratch->packet, FOR_MODULES);
}

static __always_inline void proves(struct view *view)
{
	remember_source(controls_values(), view->family, view->scratch->packet.source, FOR_MODULES);
}

static __always_inline u64 *memory_of(u64 key)
{
	struct kept *found = kept.lookup(&key), none = {};

	if (!found) {
		kept.update(&key, &none);
		found = kept.lookup(&key);
	}
	return found ? found->numbers : NULL;
}

static __always_inline void reply(struct view *view, const void *from, u32 size)
{
	if (size > REPLY_MOST || size > view->bytes)
		return;
	__builtin_memset(view->scratch->halted.reply, 0, REPLY_MOST);
	__builtin_memcpy(view->scratch->halted.reply, from, size);
	view->scratch->halted.reply_bytes = size;
}
