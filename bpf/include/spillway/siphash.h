/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* SipHash-1-3 (Aumasson and Bernstein, 2012) of a client's address: `hash::client` of the appliance, bit for bit. */
#pragma once

#include "address.h"

/* "spillway clients", as two little-endian words. */
#define CLIENT_KEY_0 0x7961776c6c697073ULL
#define CLIENT_KEY_1 0x73746e65696c6320ULL

#define ROTATE(x, bits) (((x) << (bits)) | ((x) >> (64 - (bits))))

struct sip {
	__u64 v0, v1, v2, v3;
};

static __always_inline void sip_round(struct sip *s)
{
	s->v0 += s->v1;
	s->v1 = ROTATE(s->v1, 13) ^ s->v0;
	s->v0 = ROTATE(s->v0, 32);
	s->v2 += s->v3;
	s->v3 = ROTATE(s->v3, 16) ^ s->v2;
	s->v0 += s->v3;
	s->v3 = ROTATE(s->v3, 21) ^ s->v0;
	s->v2 += s->v1;
	s->v1 = ROTATE(s->v1, 17) ^ s->v2;
	s->v2 = ROTATE(s->v2, 32);
}

static __always_inline void sip_word(struct sip *s, __u64 word)
{
	s->v3 ^= word;
	sip_round(s);
	s->v0 ^= word;
}

/* Of the four octets of an IPv4 address, of the sixteen of an IPv6 address. */
static __always_inline __u64 client_hash(const struct address *client)
{
	struct sip s = {
		CLIENT_KEY_0 ^ 0x736f6d6570736575ULL,
		CLIENT_KEY_1 ^ 0x646f72616e646f6dULL,
		CLIENT_KEY_0 ^ 0x6c7967656e657261ULL,
		CLIENT_KEY_1 ^ 0x7465646279746573ULL,
	};
	if (address_is_v4(client)) {
		sip_word(&s, 4ULL << 56 | client->word[3]);
	} else {
		sip_word(&s, (__u64)client->word[1] << 32 | client->word[0]);
		sip_word(&s, (__u64)client->word[3] << 32 | client->word[2]);
		sip_word(&s, 16ULL << 56);
	}
	s.v2 ^= 0xff;
	sip_round(&s);
	sip_round(&s);
	sip_round(&s);
	return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}
