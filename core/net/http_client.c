/*
 * libcurl says which sockets it waits for and until when; the loop does the waiting. Nothing of libcurl is called from inside its callbacks, and
 * what a transfer ended with is told after libcurl has returned.
 */
#include "net/http_client.h"

#include "net/egress.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <unistd.h>

enum {
	CONNECTIONS = 256,
	CONNECTIONS_PER_HOST = 64,
	HEADERS_MAX = 64 << 10,
	CONNECT_TIMEOUT_MS = 10000,
	ERR_TEXT_ROOM = 600,         /* as an errbuf, and more than CURL_ERROR_SIZE */
};

struct http_fetch {
	struct http_client *client;
	TAILQ_ENTRY(http_fetch) link;
	http_fetch_fn done;
	void *arg;
	CURL *easy;                  /* NULL: refused before it began */
	struct curl_slist *slist;
	char *body;
	struct buf answer, headers;
	bool refused, too_large, aborted, deferred;
	struct loop_item later;
	char why[ERR_TEXT_ROOM];     /* ours; else what libcurl says */
	char curl_says[CURL_ERROR_SIZE];
};

struct socket_watch {
	struct http_client *client;
	struct watch watch;
	curl_socket_t fd;
	int what;
	TAILQ_ENTRY(socket_watch) link;
};

struct http_client {
	struct loop *loop;
	struct egress *egress;
	CURLM *multi;
	struct timer timer;
	TAILQ_HEAD(, http_fetch) fetches;
	TAILQ_HEAD(, socket_watch) sockets;
};

static void fetch_free(struct http_fetch *fetch)
{
	TAILQ_REMOVE(&fetch->client->fetches, fetch, link);
	if (fetch->easy)
		curl_easy_cleanup(fetch->easy);
	curl_slist_free_all(fetch->slist);
	buf_free(&fetch->answer);
	buf_free(&fetch->headers);
	free(fetch->body);
	free(fetch);
}

/* -- ends ------------------------------------------------------------------------------------------------------------- */

static enum http_fetch_end end_of(const struct http_fetch *fetch, CURLcode code)
{
	if (fetch->refused && (!fetch->easy || code == CURLE_COULDNT_CONNECT))
		return HTTP_FETCH_REFUSED;
	if (fetch->too_large)
		return HTTP_FETCH_TOO_LARGE;
	switch ((int)code) {
	case CURLE_OK:
		return HTTP_FETCH_ANSWERED;
	case CURLE_OPERATION_TIMEDOUT:
		return HTTP_FETCH_TIMEOUT;
	case CURLE_COULDNT_RESOLVE_HOST:
	case CURLE_COULDNT_CONNECT:
		return HTTP_FETCH_UNREACHABLE;
	case CURLE_SSL_CONNECT_ERROR:
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_CERTPROBLEM:
	case CURLE_SSL_CIPHER:
	case CURLE_SSL_ISSUER_ERROR:
	case CURLE_SSL_CACERT_BADFILE:
		return HTTP_FETCH_TLS;
	case CURLE_UNSUPPORTED_PROTOCOL: /* HTTP/0.9 */
	case CURLE_WEIRD_SERVER_REPLY:
	case CURLE_BAD_CONTENT_ENCODING:
	case CURLE_BAD_FUNCTION_ARGUMENT:
		return HTTP_FETCH_PROTOCOL;
	default:
		return HTTP_FETCH_CUT;
	}
}

static void fetch_end(struct http_fetch *fetch, CURLcode code)
{
	struct http_answer answer = { .end = end_of(fetch, code) };
	long status = 0, sent = 0;

	if (fetch->easy) {
		curl_easy_getinfo(fetch->easy, CURLINFO_RESPONSE_CODE, &status);
		curl_easy_getinfo(fetch->easy, CURLINFO_REQUEST_SIZE, &sent);
		curl_multi_remove_handle(fetch->client->multi, fetch->easy);
	}
	answer.text = fetch->why[0] ? fetch->why : fetch->curl_says[0] ? fetch->curl_says : curl_easy_strerror(code);
	answer.sent = sent > 0;
	answer.status = (int)status;
	answer.headers = buf_str(&fetch->headers);
	answer.body = buf_str(&fetch->answer);
	fetch->done(fetch->arg, &answer);
	fetch_free(fetch);
}

static void tell_ended(struct http_client *client)
{
	CURLMsg *message;
	int left;

	while ((message = curl_multi_info_read(client->multi, &left))) {
		struct http_fetch *fetch;
		CURLcode code = message->data.result;
		if (message->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&fetch);
		fetch_end(fetch, code);
	}
}

/* -- libcurl's sockets and timer on the loop ---------------------------------------------------------------------------- */

static void on_socket(int fd, int what, void *arg)
{
	struct socket_watch *socket = arg;
	struct http_client *client = socket->client;
	int running, mask = (what & WATCH_READ ? CURL_CSELECT_IN : 0) | (what & WATCH_WRITE ? CURL_CSELECT_OUT : 0);

	curl_multi_socket_action(client->multi, fd, mask, &running);
	tell_ended(client); /* socket may be gone */
}

static void on_timer(void *arg)
{
	struct http_client *client = arg;
	int running;

	curl_multi_socket_action(client->multi, CURL_SOCKET_TIMEOUT, 0, &running);
	tell_ended(client);
}

static int set_timer(CURLM *multi, long timeout_ms, void *arg)
{
	struct http_client *client = arg;

	(void)multi;
	if (timeout_ms < 0)
		timer_stop(&client->timer);
	else
		timer_start_us(&client->timer, (int64_t)timeout_ms * 1000);
	return 0;
}

static void socket_free(struct socket_watch *socket)
{
	TAILQ_REMOVE(&socket->client->sockets, socket, link);
	watch_fini(&socket->watch);
	free(socket);
}

static int set_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *known)
{
	struct http_client *client = arg;
	struct socket_watch *socket = known;

	(void)easy;
	if (what == CURL_POLL_REMOVE) {
		if (socket)
			socket_free(socket);
		return 0;
	}
	if (!socket) {
		socket = mem_alloc(sizeof *socket);
		socket->client = client;
		socket->fd = fd;
		TAILQ_INSERT_TAIL(&client->sockets, socket, link);
		curl_multi_assign(client->multi, fd, socket);
	} else {
		watch_fini(&socket->watch);
	}
	socket->what = (what & CURL_POLL_IN ? WATCH_READ : 0) | (what & CURL_POLL_OUT ? WATCH_WRITE : 0);
	watch_init(&socket->watch, client->loop, fd, socket->what, on_socket, socket);
	if (socket->what)
		watch_start(&socket->watch);
	return 0;
}

/* -- callbacks of one transfer ------------------------------------------------------------------------------------------ */

static curl_socket_t on_open(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
	struct http_fetch *fetch = arg;

	(void)purpose;
	if (!egress_may_connect(fetch->client->egress, &address->addr)) {
		fetch->refused = true;
		snprintf(fetch->why, sizeof fetch->why, "the name stands for a private address: the setting `egress` of perigee.lua must name that "
		         "address and port itself");
		return CURL_SOCKET_BAD;
	}
	fetch->refused = false; /* another address of the name was */
	fetch->why[0] = '\0';
	return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

static size_t on_body(char *p, size_t size, size_t n, void *arg)
{
	struct http_fetch *fetch = arg;

	(void)size;
	buf_add(&fetch->answer, p, n);
	if (!fetch->answer.full)
		return n;
	fetch->too_large = true;
	snprintf(fetch->why, sizeof fetch->why, "the answer is over %zu bytes: raise max_bytes, or ask for less", fetch->answer.max);
	return 0;
}

static size_t on_header(char *p, size_t size, size_t n, void *arg)
{
	struct http_fetch *fetch = arg;
	struct str line = { p, n };

	(void)size;
	while (line.n && (line.p[line.n - 1] == '\r' || line.p[line.n - 1] == '\n'))
		line.n--;
	if (str_starts(line, "HTTP/")) {
		buf_reset(&fetch->headers); /* what came before was interim */
		return n;
	}
	size_t colon = 0;
	while (colon < line.n && line.p[colon] != ':')
		colon++;
	if (colon == line.n)
		return n;
	for (size_t i = 0; i < line.n; i++)
		buf_add_char(&fetch->headers, i < colon && line.p[i] >= 'A' && line.p[i] <= 'Z' ? (char)(line.p[i] + 'a' - 'A') : line.p[i]);
	buf_add_char(&fetch->headers, '\n');
	if (!fetch->headers.full)
		return n;
	fetch->too_large = true;
	snprintf(fetch->why, sizeof fetch->why, "the answer has over 64 KiB of headers");
	return 0;
}

/* -- requests ----------------------------------------------------------------------------------------------------------- */

bool http_header_is_valid(struct str name, struct str value)
{
	static const char token[] = "!#$%&'*+-.^_`|~";

	if (name.n == 0)
		return false;
	for (size_t i = 0; i < name.n; i++) {
		char c = name.p[i];
		if (!(c >= '0' && c <= '9') && !(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && (c == '\0' || !strchr(token, c)))
			return false;
	}
	for (size_t i = 0; i < value.n; i++)
		if (((unsigned char)value.p[i] < 32 && value.p[i] != '\t') || value.p[i] == 127)
			return false;
	return true;
}

static void set_headers(struct http_fetch *fetch, const struct http_fetch_request *request)
{
	struct buf line;

	buf_init(&line, 1 << 20);
	fetch->slist = curl_slist_append(NULL, "Expect:");
	for (size_t i = 0; i < request->headers_count; i++) {
		const struct http_header *header = &request->headers[i];
		buf_reset(&line);
		buf_addf(&line, header->value[0] ? "%s: %s" : "%s;%s", header->name, header->value);
		fetch->slist = curl_slist_append(fetch->slist, buf_text(&line));
	}
	BUG_ON(!fetch->slist);
	curl_easy_setopt(fetch->easy, CURLOPT_HTTPHEADER, fetch->slist);
	buf_free(&line);
}

static void set_body(struct http_fetch *fetch, const struct http_fetch_request *request)
{
	bool takes_body = request->body.p || strcmp(request->method, "POST") == 0 || strcmp(request->method, "PUT") == 0 ||
	                  strcmp(request->method, "PATCH") == 0;

	if (strcmp(request->method, "HEAD") == 0)
		curl_easy_setopt(fetch->easy, CURLOPT_NOBODY, 1L);
	if (takes_body) {
		fetch->body = mem_copy(request->body);
		curl_easy_setopt(fetch->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body.n);
		curl_easy_setopt(fetch->easy, CURLOPT_POSTFIELDS, fetch->body);
	}
	curl_easy_setopt(fetch->easy, CURLOPT_CUSTOMREQUEST, request->method);
}

static void set_limits(struct http_fetch *fetch, const struct http_fetch_request *request)
{
	CURL *easy = fetch->easy;

	curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)request->timeout_ms);
	curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)(request->timeout_ms < CONNECT_TIMEOUT_MS ? request->timeout_ms : CONNECT_TIMEOUT_MS));
	curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(easy, CURLOPT_PROXY, "");
	curl_easy_setopt(easy, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
	curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(easy, CURLOPT_HTTP09_ALLOWED, 0L);
	curl_easy_setopt(easy, CURLOPT_DISALLOW_USERNAME_IN_URL, 1L);
	curl_easy_setopt(easy, CURLOPT_ACCEPT_ENCODING, "");
	curl_easy_setopt(easy, CURLOPT_USERAGENT, "perigee");
	curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
	if (request->once)
		curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, 1L);
}

static void set_callbacks(struct http_fetch *fetch)
{
	CURL *easy = fetch->easy;

	curl_easy_setopt(easy, CURLOPT_PRIVATE, fetch);
	curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, fetch->curl_says);
	curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, on_open);
	curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, fetch);
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(easy, CURLOPT_WRITEDATA, fetch);
	curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(easy, CURLOPT_HEADERDATA, fetch);
}

static void on_refused(void *arg)
{
	struct http_fetch *fetch = arg;

	fetch->deferred = false;
	if (fetch->aborted)
		fetch_free(fetch);
	else
		fetch_end(fetch, CURLE_OK);
}

struct http_fetch *http_fetch_start(struct http_client *client, const struct http_fetch_request *request, http_fetch_fn done, void *arg)
{
	struct http_fetch *fetch = mem_alloc(sizeof *fetch);
	struct errbuf e;

	fetch->client = client;
	fetch->done = done;
	fetch->arg = arg;
	buf_init(&fetch->answer, request->max_bytes);
	buf_init(&fetch->headers, HEADERS_MAX);
	TAILQ_INSERT_TAIL(&client->fetches, fetch, link);
	if (egress_check(client->egress, request->url, &e) != 0) {
		fetch->refused = fetch->deferred = true;
		snprintf(fetch->why, sizeof fetch->why, "%s", e.text);
		loop_defer(client->loop, &fetch->later, on_refused, fetch);
		return fetch;
	}
	fetch->easy = curl_easy_init();
	BUG_ON(!fetch->easy);
	curl_easy_setopt(fetch->easy, CURLOPT_URL, request->url);
	set_callbacks(fetch);
	set_limits(fetch, request);
	set_headers(fetch, request);
	set_body(fetch, request);
	curl_multi_add_handle(client->multi, fetch->easy); /* sets the timer; begins in the next turn */
	return fetch;
}

void http_fetch_abort(struct http_fetch *fetch)
{
	if (fetch->easy)
		curl_multi_remove_handle(fetch->client->multi, fetch->easy);
	if (fetch->deferred)
		fetch->aborted = true;
	else
		fetch_free(fetch);
}

/* -- the client --------------------------------------------------------------------------------------------------------- */

int http_client_new(const struct http_client_options *options, struct http_client **out, struct errbuf *e)
{
	struct egress *egress;
	int code;

	*out = NULL;
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return err_set(e, ERR_UNAVAILABLE, "libcurl does not start");
	code = egress_new(options->egress, &egress, e);
	if (code)
		return code;
	struct http_client *client = *out = mem_alloc(sizeof *client);
	client->loop = options->loop;
	client->egress = egress;
	TAILQ_INIT(&client->fetches);
	TAILQ_INIT(&client->sockets);
	timer_init(&client->timer, options->loop, on_timer, client);
	client->multi = curl_multi_init();
	BUG_ON(!client->multi);
	curl_multi_setopt(client->multi, CURLMOPT_SOCKETFUNCTION, set_socket);
	curl_multi_setopt(client->multi, CURLMOPT_SOCKETDATA, client);
	curl_multi_setopt(client->multi, CURLMOPT_TIMERFUNCTION, set_timer);
	curl_multi_setopt(client->multi, CURLMOPT_TIMERDATA, client);
	curl_multi_setopt(client->multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, (long)(options->connections ? options->connections : CONNECTIONS));
	curl_multi_setopt(client->multi, CURLMOPT_MAX_HOST_CONNECTIONS, (long)CONNECTIONS_PER_HOST);
	return 0;
}

void http_client_free(struct http_client *client)
{
	struct http_fetch *fetch, *next;

	if (!client)
		return;
	for (fetch = TAILQ_FIRST(&client->fetches); fetch; fetch = next) {
		next = TAILQ_NEXT(fetch, link);
		if (fetch->easy)
			curl_multi_remove_handle(client->multi, fetch->easy);
		fetch_free(fetch);
	}
	curl_multi_cleanup(client->multi);
	while (!TAILQ_EMPTY(&client->sockets))
		socket_free(TAILQ_FIRST(&client->sockets));
	timer_fini(&client->timer);
	egress_free(client->egress);
	free(client);
	curl_global_cleanup();
}

int http_client_check(const struct http_client *client, struct str url, struct errbuf *e)
{
	char *text = mem_copy(url);
	int code = url.n != strlen(text) ? err_set(e, ERR_INVALID, "the URL has a NUL byte") : egress_check(client->egress, text, e);

	free(text);
	return code;
}
