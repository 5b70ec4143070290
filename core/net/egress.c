#include "net/egress.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct origin {
	char *scheme, *host, *port;  /* of libcurl: lower case, numbers in their usual form, IPv6 in brackets */
};

struct egress {
	struct origin *origins;
	size_t count;
};

static void origin_free(struct origin *origin)
{
	curl_free(origin->scheme);
	curl_free(origin->host);
	curl_free(origin->port);
	*origin = (struct origin){ 0 };
}

static void lower(char *text)
{
	for (; *text; text++)
		if (*text >= 'A' && *text <= 'Z')
			*text = (char)(*text + 'a' - 'A');
}

/* Scheme, host and port of a URL. bare: nothing else may be in it. */
static int origin_read(const char *url, bool bare, struct origin *out, struct errbuf *e)
{
	CURLU *parts = curl_url();
	char *user = NULL, *password = NULL, *path = NULL, *query = NULL;
	int code = 0;

	*out = (struct origin){ 0 };
	BUG_ON(!parts);
	if (curl_url_set(parts, CURLUPART_URL, url, CURLU_DISALLOW_USER) != CURLUE_OK ||
	    curl_url_get(parts, CURLUPART_SCHEME, &out->scheme, 0) != CURLUE_OK || curl_url_get(parts, CURLUPART_HOST, &out->host, 0) != CURLUE_OK ||
	    curl_url_get(parts, CURLUPART_PORT, &out->port, CURLU_DEFAULT_PORT) != CURLUE_OK ||
	    (strcmp(out->scheme, "http") != 0 && strcmp(out->scheme, "https") != 0))
		code = err_set(e, ERR_INVALID, "'%.200s' is no URL like https://api.example.com/path (http or https, no user in it)", url);
	else if (bare && curl_url_get(parts, CURLUPART_PATH, &path, 0) == CURLUE_OK &&
	         (strcmp(path, "/") != 0 || curl_url_get(parts, CURLUPART_QUERY, &query, 0) == CURLUE_OK))
		code = err_set(e, ERR_INVALID, "'%.200s' names more than scheme, host and port: https://api.example.com", url);
	if (code)
		origin_free(out);
	else
		lower(out->host);
	curl_free(user);
	curl_free(password);
	curl_free(path);
	curl_free(query);
	curl_url_cleanup(parts);
	return code;
}

int egress_new(const json_t *list, struct egress **out, struct errbuf *e)
{
	struct egress *egress = *out = mem_alloc(sizeof *egress);
	size_t i;
	json_t *entry;

	json_array_foreach(list, i, entry) {
		const char *url = json_string_value(entry);
		struct origin origin;
		int code = url ? origin_read(url, true, &origin, e) : err_set(e, ERR_INVALID, "an entry is no text");
		if (code) {
			egress_free(egress);
			*out = NULL;
			return err_wrap(e, code, "egress");
		}
		egress->origins = mem_grow(egress->origins, egress->count + 1, sizeof *egress->origins);
		egress->origins[egress->count++] = origin;
	}
	return 0;
}

void egress_free(struct egress *egress)
{
	if (!egress)
		return;
	for (size_t i = 0; i < egress->count; i++)
		origin_free(&egress->origins[i]);
	free(egress->origins);
	free(egress);
}

int egress_check(const struct egress *egress, const char *url, struct errbuf *e)
{
	struct origin asked;
	int code = origin_read(url, false, &asked, e);

	if (code)
		return code;
	code = err_set(e, ERR_FORBIDDEN, "%s://%s:%s is not in the setting `egress` of perigee.lua: the operator names there where requests may go",
	               asked.scheme, asked.host, asked.port);
	for (size_t i = 0; i < egress->count && code; i++) {
		const struct origin *known = &egress->origins[i];
		if (strcmp(known->scheme, asked.scheme) == 0 && strcmp(known->host, asked.host) == 0 && strcmp(known->port, asked.port) == 0)
			code = 0;
	}
	origin_free(&asked);
	return code;
}

/* -- addresses -------------------------------------------------------------------------------------------------------- */

static bool ipv4_is_public(uint32_t a)
{
	static const struct {
		uint32_t net;
		int bits;
	} kept[] = {
		{ 0x00000000, 8 }, { 0x0a000000, 8 }, { 0x64400000, 10 }, { 0x7f000000, 8 }, { 0xa9fe0000, 16 }, { 0xac100000, 12 },
		{ 0xc0000000, 24 }, { 0xc0000200, 24 }, { 0xc0a80000, 16 }, { 0xc6120000, 15 }, { 0xc6336400, 24 }, { 0xcb007100, 24 }, { 0xe0000000, 3 },
	};
	for (size_t i = 0; i < sizeof kept / sizeof *kept; i++)
		if ((a >> (32 - kept[i].bits)) == (kept[i].net >> (32 - kept[i].bits)))
			return false;
	return true;
}

static uint32_t number_at(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* Global unicast is 2000::/3; what carries an IPv4 address inside (mapped, NAT64, 6to4) is as public as that one. */
static bool ipv6_is_public(const uint8_t *p)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff }, nat64[12] = { 0x00, 0x64, 0xff, 0x9b };

	if (memcmp(p, mapped, 12) == 0 || memcmp(p, nat64, 12) == 0)
		return ipv4_is_public(number_at(p + 12));
	if (p[0] == 0x20 && p[1] == 0x02)
		return ipv4_is_public(number_at(p + 2));
	if (p[0] == 0x20 && p[1] == 0x01 && p[2] < 2)
		return false; /* 2001::/23: Teredo and the like */
	return (p[0] & 0xe0) == 0x20;
}

bool egress_may_connect(const struct egress *egress, const struct sockaddr *address)
{
	char host[INET6_ADDRSTRLEN + 2], port[8];
	const struct sockaddr_in *four = (const struct sockaddr_in *)(const void *)address;
	const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)(const void *)address;

	if (address->sa_family == AF_INET) {
		if (ipv4_is_public(ntohl(four->sin_addr.s_addr)))
			return true;
		inet_ntop(AF_INET, &four->sin_addr, host, sizeof host);
		snprintf(port, sizeof port, "%u", ntohs(four->sin_port));
	} else if (address->sa_family == AF_INET6) {
		char text[INET6_ADDRSTRLEN];
		if (ipv6_is_public(six->sin6_addr.s6_addr))
			return true;
		inet_ntop(AF_INET6, &six->sin6_addr, text, sizeof text);
		snprintf(host, sizeof host, "[%s]", text);
		snprintf(port, sizeof port, "%u", ntohs(six->sin6_port));
	} else {
		return false;
	}
	for (size_t i = 0; i < egress->count; i++)
		if (strcmp(egress->origins[i].host, host) == 0 && strcmp(egress->origins[i].port, port) == 0)
			return true;
	return false;
}
