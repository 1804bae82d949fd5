/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The maps of the filter, except those of the table, of flows and of challenges. */

#define SAMPLES_PAGES  4
#define CAPTURES_PAGES 32
#define HEADS_PAGES    64

BPF_F_TABLE("percpu_array", u32, struct hits, counters, REASON_MAX, 0);
BPF_F_TABLE("array", u32, struct classes, classes, CLASSES_MAX, MMAPABLE);
BPF_F_TABLE("array", u32, struct bitmap, bitmaps, 2, MMAPABLE);
BPF_F_TABLE("array", u32, struct generation, generations, 2, MMAPABLE);
BPF_F_TABLE("array", u32, struct payload, payloads, 2 * SIGNATURES_MAX, MMAPABLE);
BPF_F_TABLE("array", u32, struct rate, rates, SIGNATURES_MAX, MMAPABLE);
BPF_F_TABLE("array", u32, u64, buckets, BUCKETS_MAX, MMAPABLE);
BPF_F_TABLE("percpu_array", u32, struct scratch, scratches, 1, 0);
BPF_F_TABLE("percpu_array", u32, struct pending, pending, 1, 0);
BPF_F_TABLE("percpu_array", u32, struct pace, paces, 1, 0);
BPF_F_TABLE("percpu_array", u32, struct pace, paces_out, 1, 0);
BPF_F_TABLE("percpu_array", u32, struct stratum, strata, 1U << STRATA_LOG2, 0);
BPF_F_TABLE("percpu_array", u32, struct stratum, strata_out, 1U << STRATA_LOG2, 0);
BPF_F_TABLE("percpu_array", u32, struct hits, volumes, TRAFFIC_KINDS, 0);
BPF_F_TABLE("hash", u32, struct monitor_statistics, statistics, STATISTICS_MAX, 0);
BPF_F_TABLE("lru_hash", struct connection, u64, connections, CONNECTIONS_MAX, 0);
BPF_F_TABLE("lru_hash", struct sender_key, struct sender, senders, SENDERS_MAX, 0);
BPF_F_TABLE("lru_hash", struct sender_key, struct sender, forgers, FORGERS_MAX, 0);
BPF_F_TABLE("hash", struct policed_host, struct policers, policed, POLICED_MAX, BPF_F_NO_PREALLOC);
BPF_PROG_ARRAY(stages, STAGES_MAX + MODULES_MAX);
BPF_F_TABLE("array", u32, struct explanation, explanations, 1, 0);
BPF_RINGBUF_OUTPUT(samples, SAMPLES_PAGES);
BPF_RINGBUF_OUTPUT(captures, CAPTURES_PAGES);
BPF_RINGBUF_OUTPUT(heads, HEADS_PAGES);
BPF_RINGBUF_OUTPUT(heads_out, HEADS_OUT_PAGES);
