/* The bench's load generator: N keep-alive connections to one MCP endpoint, each with one call in flight.
 *
 * Usage: load --port N [--path /mcp] [--connections N] [--seconds S] [--warmup S]
 *             [--era legacy|modern|plain|agent] [--method tools/call|tools/list|prompts/get|resources/read]
 *             [--tool echo[,more]] [--argument text] [--inside NAME] [--calls N] [--frames N]
 *        load --port N [--path /mcp] --sessions N
 *        load --port N [--path /mcp] [--era legacy|modern] --streams N
 * and in each form any number of [--header 'Name: value'], sent with every request.
 *
 * The first form opens the connections (legacy: a session each), calls for `warmup` seconds, prints
 * {"event": "start"}, calls for `seconds` more, prints {"event": "stop"}, waits for what is in flight and prints
 * one line of figures. Whoever wants to read CPU clocks reads them at the two events. With `calls` it stops at that
 * many, and at `seconds` at the latest. Of several tools, the connections call one each, in turn. With `frames` each call asks for that many progress notifications and must get
 * every one, in order, before its result. `argument` is what the text is
 * called; with `inside`, it is in an object that is the argument of that name.
 * The second form opens and leaves that many legacy sessions and prints how many it got.
 * The third opens that many event streams (legacy: a session and its GET; modern: subscriptions/listen, acknowledged),
 * prints how many it got, holds them until its stdin ends and prints how many are still open then.
 *
 * An answer counts only when it is a 200 with the request's id, a result, and in it the text sent (tools/call,
 * prompts/get), a tool of the name (tools/list) or the URI that `tool` is then (resources/read); anything else is an
 * error. Answers are JSON or SSE, sized or chunked. `plain` is no MCP: the arguments of the call are the body, and the
 * answer's body has to have the text sent. `agent` is SendMessage of A2A 1.0 by JSON-RPC, to be answered with a message. */
#include "wire.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define PATIENCE_SECONDS 10
#define ERRORS_ENOUGH 1000
#define MOST_TOOLS 64

typedef struct {
    int fd;
    long id;
    bool waiting;
    uint64_t sent_at;
    const char *tool;
    char session[256], version[32], text[64];
    size_t text_size;
    buf in;
} conn;

typedef struct {
    int status;
    bool close, sse;
    span head, body;
} response;

static struct {
    int port, connections;
    long sessions, streams, calls, frames;
    double seconds, warmup;
    const char *path, *method, *argument, *inside, *tools[MOST_TOOLS];
    int tool_count;
    bool modern, plain, agent, calling; /* an agent is plain, too */
    enum { CALL, LIST, PROMPT, READ } kind;
} opt = {.connections = 1, .seconds = 1, .path = "/mcp", .method = "tools/call", .argument = "text", .tools = {"echo"}, .tool_count = 1};

static struct {
    long errors, reconnects, sse;
    size_t request_bytes, answer_bytes;
    char first_error[200];
} seen;

static uint32_t *latencies; /* in units of 100 ns */
static size_t calls, latencies_size;
static buf decoded, body_text, request_text, event_text, header_text;

static uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void count_error(const char *what, span detail) {
    if (!seen.errors++) {
        int n = snprintf(seen.first_error, sizeof seen.first_error, "%s%s%.*s", what, detail.n ? ": " : "",
                         (int)(detail.n > 150 ? 150 : detail.n), detail.n ? detail.p : "");
        for (int i = 0; i < n && i < (int)sizeof seen.first_error; i++) {
            char *c = &seen.first_error[i];
            if (*c == '"')
                *c = '\'';
            else if (*c < ' ' || *c > '~' || *c == '\\')
                *c = '.';
        }
    }
}

static const span nothing = {NULL, 0};

/* --- sockets ------------------------------------------------------------------------------------------ */

static bool open_socket(conn *c) {
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)opt.port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct timeval patience = {.tv_sec = PATIENCE_SECONDS};
    int one = 1;
    c->in.n = 0;
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->fd < 0) return false;
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    setsockopt(c->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(c->fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    if (connect(c->fd, (struct sockaddr *)&address, sizeof address)) {
        close(c->fd);
        c->fd = -1;
        return false;
    }
    return true;
}

static void close_socket(conn *c) {
    if (c->fd >= 0) close(c->fd);
    c->fd = -1;
    c->waiting = false;
}

static bool send_all(conn *c, const buf *data) {
    for (size_t done = 0; done < data->n;) {
        ssize_t n = write(c->fd, data->p + done, data->n - done);
        if (n > 0) {
            done += (size_t)n;
        } else if (n < 0 && errno == EAGAIN) {
            struct pollfd wait = {.fd = c->fd, .events = POLLOUT};
            if (poll(&wait, 1, PATIENCE_SECONDS * 1000) <= 0) return false;
        } else if (n == 0 || errno != EINTR) {
            return false;
        }
    }
    return true;
}

/* --- requests ----------------------------------------------------------------------------------------- */

/* Puts HTTP around `body_text`. `method` and `name` are for the modern era's headers; NULL for none. */
static void build_request(const conn *c, const char *method, const char *name) {
    buf *r = &request_text;
    r->n = 0;
    buf_addf(r,
             "POST %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nContent-Type: application/json\r\n"
             "Accept: application/json, text/event-stream\r\nContent-Length: %zu\r\n",
             opt.path, opt.port, body_text.n);
    if (opt.plain) {
        /* nothing of MCP */
    } else if (opt.modern) {
        buf_addf(r, "MCP-Protocol-Version: " MODERN_VERSION "\r\nMcp-Method: %s\r\n", method);
        if (name) buf_addf(r, "Mcp-Name: %s\r\n", name);
    } else {
        if (*c->version) buf_addf(r, "MCP-Protocol-Version: %s\r\n", c->version);
        if (*c->session) buf_addf(r, "Mcp-Session-Id: %s\r\n", c->session);
    }
    buf_add(r, header_text.p, header_text.n);
    buf_add(r, "\r\n", 2);
    buf_add(r, body_text.p, body_text.n);
}

/* The start of a modern request's `_meta`: whoever uses it closes the object. */
static const char ENVELOPE[] =
    "\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":\"" MODERN_VERSION "\","
    "\"io.modelcontextprotocol/clientInfo\":{\"name\":\"bench\",\"version\":\"1.0.0\"},"
    "\"io.modelcontextprotocol/clientCapabilities\":{}";

static void build_call(conn *c) {
    buf *b = &body_text;
    b->n = 0;
    c->id++;
    if (opt.plain) {
        c->text_size = (size_t)snprintf(c->text, sizeof c->text, "call %08ld of connection %05d", c->id, c->fd);
        if (opt.agent)
            buf_addf(b,
                     "{\"jsonrpc\":\"2.0\",\"id\":%ld,\"method\":\"SendMessage\",\"params\":{\"message\":{\"messageId\":"
                     "\"%ld\",\"role\":\"ROLE_USER\",\"parts\":[{\"text\":\"%s\"}]}}}",
                     c->id, c->id, c->text);
        else
            buf_addf(b, "{\"text\":\"%s\"}", c->text);
        seen.request_bytes = b->n;
        build_request(c, NULL, NULL);
        return;
    }
    buf_addf(b, "{\"jsonrpc\":\"2.0\",\"id\":%ld,\"method\":\"%s\",\"params\":{", c->id, opt.method);
    if (opt.modern) {
        buf_addf(b, "%s", ENVELOPE);
        if (opt.frames) buf_addf(b, ",\"progressToken\":%ld", c->id);
        buf_addf(b, "}%s", opt.kind == LIST ? "" : ",");
    } else if (opt.frames) {
        buf_addf(b, "\"_meta\":{\"progressToken\":%ld},", c->id);
    }
    if (opt.calling) {
        c->text_size = (size_t)snprintf(c->text, sizeof c->text, "call %08ld of connection %05d", c->id, c->fd);
        buf_addf(b, "\"name\":\"%s\",\"arguments\":{", c->tool);
        if (opt.inside) buf_addf(b, "\"%s\":{", opt.inside);
        buf_addf(b, "\"%s\":\"%s\"%s", opt.argument, c->text, opt.inside ? "}" : "");
        if (opt.frames) buf_addf(b, ",\"frames\":%ld", opt.frames);
        buf_add(b, "}", 1);
    } else if (opt.kind == READ) {
        buf_addf(b, "\"uri\":\"%s\"", c->tool);
    }
    buf_add(b, "}}", 2);
    seen.request_bytes = b->n;
    build_request(c, opt.method, opt.kind == LIST ? NULL : c->tool);
}

/* --- answers ------------------------------------------------------------------------------------------ */

/* Bytes of the response at the start of the buffer; 0: not all there yet; -1: malformed. */
static long take_response(conn *c, bool ended, response *r) {
    /* One answer is in flight, so its last chunk ends the buffer: a long one need not be decoded at each read. */
    if (!ended && c->in.n > 32768 && memcmp(c->in.p + c->in.n - 5, "0\r\n\r\n", 5)) {
        const char *blank = memmem(c->in.p, c->in.n, "\r\n\r\n", 4);
        span head = {c->in.p, blank ? (size_t)(blank + 4 - c->in.p) : 0};
        if (blank && header_is(head, "transfer-encoding", "chunked") && !http_header(head, "trailer").p) return 0;
    }
    long used = http_message(&c->in, &decoded, true, ended, &r->head, &r->body);
    if (used <= 0) {
        /* 202 and 204 need no length to be complete */
        if (used == 0 && r->head.p && c->in.n >= r->head.n && r->head.n > 12 &&
            !http_header(r->head, "content-length").p && !http_header(r->head, "transfer-encoding").p &&
            (!memcmp(r->head.p + 9, "202", 3) || !memcmp(r->head.p + 9, "204", 3))) {
            r->body = nothing;
            used = (long)r->head.n;
        } else {
            return used;
        }
    }
    r->status = r->head.n > 12 ? atoi(r->head.p + 9) : 0;
    r->close = ended || header_is(r->head, "connection", "close");
    span type = http_header(r->head, "content-type");
    r->sse = type.n >= 17 && !strncasecmp(type.p, "text/event-stream", 17);
    return used;
}

/* Progress notifications of the answer looked at last: how many came in their order. */
static long frames_seen;

static void see_frame(span event, const char *token) {
    if (!span_is(json_text(event, "method"), "notifications/progress")) return;
    span params = json_get(event, "params"), progress = json_get(params, "progress");
    if (progress.p && span_is(json_get(params, "progressToken"), token) &&
        strtod(progress.p, NULL) == (double)(frames_seen + 1))
        frames_seen++;
}

/* The JSON-RPC message with this id: the body, or the event of a stream that has it. */
static span find_message(const response *r, const char *id) {
    if (!r->sse) return span_is(json_get(r->body, "id"), id) ? r->body : nothing;
    const char *p = r->body.p, *end = p + r->body.n;
    event_text.n = 0;
    frames_seen = 0;
    while (p < end) {
        const char *eol = memchr(p, '\n', (size_t)(end - p)), *next = eol ? eol + 1 : end;
        size_t n = (size_t)((eol ? eol : end) - p);
        if (n && p[n - 1] == '\r') n--;
        if (n >= 5 && !memcmp(p, "data:", 5)) {
            size_t skip = n > 5 && p[5] == ' ' ? 6 : 5;
            if (event_text.n) buf_add(&event_text, "\n", 1);
            buf_add(&event_text, p + skip, n - skip);
        } else if (!n) {
            span event = {event_text.p, event_text.n};
            /* a server's request may have the same id as ours; an answer has no method */
            if (span_is(json_get(event, "id"), id) && !json_get(event, "method").p) return event;
            if (opt.frames) see_frame(event, id);
            event_text.n = 0;
        }
        p = next;
    }
    return nothing;
}

static bool is_right(const conn *c, const response *r) {
    char id[24];
    snprintf(id, sizeof id, "%ld", c->id);
    if (r->status != 200) {
        char what[32];
        snprintf(what, sizeof what, "status %d", r->status);
        count_error(what, r->body);
        return false;
    }
    if (opt.plain) {
        span said = opt.agent ? json_get(json_get(r->body, "result"), "message") : json_get(r->body, "text");
        bool same = span_has(said, c->text, c->text_size);
        if (!same) count_error("not the text sent", r->body);
        seen.answer_bytes = r->body.n;
        return same;
    }
    span message = find_message(r, id);
    if (!message.p) {
        count_error("no answer with the id of the request", r->body);
        return false;
    }
    if (opt.frames && (!r->sse || frames_seen != opt.frames)) {
        count_error("not every progress notification, in order", r->body);
        return false;
    }
    span result = json_get(message, "result");
    if (!result.p) {
        count_error("no result", message);
        return false;
    }
    bool right;
    if (opt.calling) {
        right = span_has(json_get(result, opt.kind == PROMPT ? "messages" : "content"), c->text, c->text_size);
    } else {
        char name[128];
        int n = snprintf(name, sizeof name, "\"%s\"", c->tool);
        right = span_has(json_get(result, opt.kind == READ ? "contents" : "tools"), name, (size_t)n);
    }
    if (opt.modern) right = right && span_is(json_text(result, "resultType"), "complete");
    if (!right) {
        count_error("not the result asked for", result);
        return false;
    }
    seen.answer_bytes = message.n;
    seen.sse += r->sse;
    return true;
}

/* --- opening a legacy session, one step at a time ----------------------------------------------------- */

/* Sends `request_text` and waits for the answer; the response is valid until the next call. */
static bool ask(conn *c, response *r) {
    *r = (response){0};
    if (c->fd < 0 && !open_socket(c)) return false;
    c->in.n = 0;
    if (!send_all(c, &request_text)) return false;
    for (;;) {
        buf_reserve(&c->in, 16384);
        ssize_t n = read(c->fd, c->in.p + c->in.n, c->in.cap - c->in.n);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return false;
        c->in.n += (size_t)n;
        long used = take_response(c, n == 0, r);
        if (used < 0 || (n == 0 && !used)) return false;
        if (used) return true;
    }
}

static bool open_session(conn *c) {
    response r;
    c->session[0] = c->version[0] = 0;
    body_text.n = 0;
    buf_addf(&body_text, "{\"jsonrpc\":\"2.0\",\"id\":0,\"method\":\"initialize\",\"params\":{"
                         "\"protocolVersion\":\"" LEGACY_VERSION "\",\"capabilities\":{},\"clientInfo\":{\"name\":\"bench\",\"version\":\"1.0.0\"}}}");
    build_request(c, "initialize", NULL);
    if (!ask(c, &r)) {
        count_error("no answer to initialize", nothing);
        return false;
    }
    span result = json_get(find_message(&r, "0"), "result"), version = json_text(result, "protocolVersion");
    span session = http_header(r.head, "mcp-session-id");
    if (r.status != 200 || !version.p || version.n >= sizeof c->version || session.n >= sizeof c->session) {
        count_error("initialize failed", r.body);
        return false;
    }
    memcpy(c->version, version.p, version.n);
    c->version[version.n] = 0;
    if (session.p) memcpy(c->session, session.p, session.n);
    c->session[session.n] = 0;
    if (r.close) close_socket(c);
    body_text.n = 0;
    buf_addf(&body_text, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}");
    build_request(c, "notifications/initialized", NULL);
    if (!ask(c, &r) || r.status != 202) {
        count_error("notifications/initialized was not accepted", r.body);
        return false;
    }
    if (r.close) close_socket(c);
    c->in.n = 0;
    return true;
}

static int leave_sessions(void) {
    conn c = {.fd = -1};
    long opened = 0;
    uint64_t start = now_ns();
    while (opened < opt.sessions && !seen.errors) opened += open_session(&c);
    close_socket(&c);
    printf("{\"sessions\": %ld, \"errors\": %ld, \"seconds\": %.3f, \"first_error\": \"%s\"}\n", opened, seen.errors,
           (double)(now_ns() - start) / 1e9, seen.first_error);
    return seen.errors ? 1 : 0;
}

/* --- streams held open -------------------------------------------------------------------------------- */

/* Reads until the head and, when given, this text are there. */
static bool read_until(conn *c, const char *text) {
    for (;;) {
        const char *blank = c->in.n ? memmem(c->in.p, c->in.n, "\r\n\r\n", 4) : NULL;
        if (blank && (!text || memmem(c->in.p, c->in.n, text, strlen(text)))) return true;
        if (blank && memcmp(c->in.p + 8, " 200", 4)) return true;
        buf_reserve(&c->in, 4096);
        ssize_t n = read(c->fd, c->in.p + c->in.n, c->in.cap - c->in.n);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return false;
        c->in.n += (size_t)n;
    }
}

static bool open_stream(conn *c) {
    body_text.n = 0;
    if (opt.modern) {
        buf_addf(&body_text,
                 "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"subscriptions/listen\",\"params\":{%s},"
                 "\"notifications\":{\"toolsListChanged\":true}}}",
                 ENVELOPE);
        build_request(c, "subscriptions/listen", NULL);
    } else {
        if (!open_session(c)) return false;
        request_text.n = 0;
        buf_addf(&request_text,
                 "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nAccept: text/event-stream\r\n"
                 "MCP-Protocol-Version: %s\r\nMcp-Session-Id: %s\r\n%.*s\r\n",
                 opt.path, opt.port, c->version, c->session, (int)header_text.n, header_text.n ? header_text.p : "");
    }
    if (c->fd < 0 && !open_socket(c)) {
        count_error("cannot connect", nothing);
        return false;
    }
    c->in.n = 0;
    if (!send_all(c, &request_text) || !read_until(c, opt.modern ? "/acknowledged" : NULL)) {
        count_error("the stream did not begin", (span){c->in.p, c->in.n});
        return false;
    }
    const char *blank = memmem(c->in.p, c->in.n, "\r\n\r\n", 4);
    span head = {c->in.p, (size_t)(blank + 4 - c->in.p)}, type = http_header(head, "content-type");
    if (memcmp(c->in.p + 8, " 200", 4) || type.n < 17 || strncasecmp(type.p, "text/event-stream", 17)) {
        count_error("no event stream", (span){c->in.p, c->in.n});
        return false;
    }
    free(c->in.p);
    c->in = (buf){0};
    return true;
}

/* Whether the other side has not closed it; what has come is read and dropped. */
static bool still_open(const conn *c) {
    char sink[16384];
    for (;;) {
        ssize_t n = recv(c->fd, sink, sizeof sink, MSG_DONTWAIT);
        if (n == 0) return false;
        if (n < 0 && errno != EINTR) return errno == EAGAIN;
    }
}

static int hold_streams(void) {
    conn *conns = calloc((size_t)opt.streams, sizeof *conns);
    if (!conns) die("calloc");
    long opened = 0, open = 0;
    for (; opened < opt.streams && !seen.errors; opened += !seen.errors) {
        conns[opened].fd = -1;
        open_stream(&conns[opened]);
    }
    printf("{\"streams\": %ld, \"errors\": %ld, \"first_error\": \"%s\"}\n", opened, seen.errors, seen.first_error);
    fflush(stdout);
    char sink[256];
    while (read(STDIN_FILENO, sink, sizeof sink) > 0) {
    }
    for (long i = 0; i < opened; i++) open += still_open(&conns[i]);
    printf("{\"open\": %ld}\n", open);
    return seen.errors || open < opened ? 1 : 0;
}

/* --- the closed loop ---------------------------------------------------------------------------------- */

static int epoll_fd, alive;

static void enlist(conn *c) {
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
    fcntl(c->fd, F_SETFL, O_NONBLOCK);
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, c->fd, &event)) die("epoll_ctl");
}

static bool reconnect(conn *c) {
    close_socket(c);
    if (open_socket(c)) {
        seen.reconnects++;
        enlist(c);
        return true;
    }
    count_error("cannot connect again", nothing);
    alive--;
    return false;
}

static void call(conn *c, uint64_t now) {
    build_call(c);
    c->sent_at = now;
    c->waiting = true;
    while (!send_all(c, &request_text)) {
        count_error("a request could not be sent", nothing);
        if (seen.errors > ERRORS_ENOUGH) close_socket(c);
        if (c->fd < 0 || !reconnect(c)) return;
        c->waiting = true;
    }
}

/* Reads what came. True when the call in flight is over, well or not, and the connection can take another. */
static bool receive(conn *c, bool counting) {
    bool ended = false;
    for (;;) {
        buf_reserve(&c->in, 16384);
        size_t room = c->in.cap - c->in.n;
        ssize_t n = read(c->fd, c->in.p + c->in.n, room);
        if (n > 0) {
            c->in.n += (size_t)n;
            if ((size_t)n == room) continue;
        } else if (n == 0) {
            ended = true;
        } else if (errno == EINTR) {
            continue;
        } else if (errno != EAGAIN) {
            ended = true;
        }
        break;
    }
    if (!c->waiting) return ended && reconnect(c);
    response r = {0};
    long used = take_response(c, ended, &r);
    if (!used && !ended) return false;
    if (used <= 0) {
        count_error(used ? "malformed HTTP" : "connection closed in mid-answer", (span){c->in.p, c->in.n});
        return reconnect(c);
    }
    c->waiting = false;
    if (is_right(c, &r) && counting) {
        if (calls == latencies_size) {
            latencies_size = latencies_size ? latencies_size * 2 : 65536;
            latencies = realloc(latencies, latencies_size * sizeof *latencies);
            if (!latencies) die("realloc");
        }
        uint64_t took = (now_ns() - c->sent_at) / 100;
        latencies[calls++] = took > UINT32_MAX ? UINT32_MAX : (uint32_t)took;
    }
    if (r.close) return reconnect(c);
    buf_drop(&c->in, (size_t)used);
    return true;
}

static int by_size(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static double percentile(double p) {
    if (!calls) return 0;
    size_t rank = (size_t)(p * (double)calls + 0.999999);
    return (double)latencies[rank ? rank - 1 : 0] / 1e4;
}

static void say(const char *event) {
    printf("{\"event\": \"%s\"}\n", event);
    fflush(stdout);
}

static int run(void) {
    enum { WARMING, COUNTING, DRAINING } phase = WARMING;
    conn *conns = calloc((size_t)opt.connections, sizeof *conns);
    struct epoll_event events[256];
    if (!conns) die("calloc");
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    for (int i = 0; i < opt.connections; i++) {
        conn *c = &conns[i];
        c->fd = -1;
        c->tool = opt.tools[i % opt.tool_count];
        if (!opt.modern && !opt.plain && !open_session(c)) continue;
        if (c->fd < 0 && !open_socket(c)) {
            count_error("cannot connect", nothing);
            continue;
        }
        enlist(c);
        alive++;
    }
    uint64_t start = now_ns(), stop = 0, give_up = 0;
    uint64_t phase_end = start + (uint64_t)(opt.warmup * 1e9);
    for (int i = 0; i < opt.connections; i++)
        if (conns[i].fd >= 0) call(&conns[i], now_ns());
    for (;;) {
        uint64_t now = now_ns();
        if (phase == WARMING && now >= phase_end) {
            phase = COUNTING;
            say("start");
            start = now_ns();
            phase_end = start + (uint64_t)(opt.seconds * 1e9);
        }
        bool enough = opt.calls && calls >= (size_t)opt.calls;
        if (phase == COUNTING && (now >= phase_end || enough || !alive || seen.errors > ERRORS_ENOUGH)) {
            phase = DRAINING;
            stop = now;
            say("stop");
            give_up = now_ns() + PATIENCE_SECONDS * 1000000000ull;
        }
        if (phase == DRAINING) {
            int waiting = 0;
            for (int i = 0; i < opt.connections; i++) waiting += conns[i].waiting;
            if (!waiting) break;
            if (now >= give_up) {
                while (waiting--) count_error("no answer in time", nothing);
                break;
            }
        }
        uint64_t until = phase == DRAINING ? give_up : phase_end;
        int wait = until > now ? (int)((until - now) / 1000000) : 0;
        int n = epoll_wait(epoll_fd, events, 256, wait < 100 ? wait : 100);
        for (int i = 0; i < n; i++) {
            conn *c = events[i].data.ptr;
            if (c->fd >= 0 && receive(c, phase == COUNTING) && phase != DRAINING &&
                seen.errors <= ERRORS_ENOUGH)
                call(c, now_ns());
        }
    }
    double seconds = (double)(stop - start) / 1e9;
    if (calls) qsort(latencies, calls, sizeof *latencies, by_size);
    printf("{\"era\": \"%s\", \"method\": \"%s\", \"connections\": %d, \"seconds\": %.4f, \"calls\": %zu, "
           "\"errors\": %ld, \"reconnects\": %ld, \"sse\": %ld, \"calls_per_second\": %.1f, \"p50_ms\": %.4f, "
           "\"p99_ms\": %.4f, \"max_ms\": %.4f, \"request_bytes\": %zu, \"answer_bytes\": %zu, "
           "\"first_error\": \"%s\"}\n",
           opt.agent ? "agent" : opt.plain ? "plain" : opt.modern ? "modern" : "legacy", opt.method, opt.connections, seconds, calls, seen.errors,
           seen.reconnects, seen.sse, seconds > 0 ? (double)calls / seconds : 0, percentile(0.5), percentile(0.99),
           percentile(1), seen.request_bytes, seen.answer_bytes, seen.first_error);
    return seen.errors ? 1 : 0;
}

/* The words between commas, in place; how many there are. */
static int split(char *text, const char **words) {
    int count = 0;
    for (char *word = strtok(text, ","); word && count < MOST_TOOLS; word = strtok(NULL, ",")) words[count++] = word;
    return count;
}

int main(int argc, char **argv) {
    for (int i = 1; i < argc; i += 2) {
        const char *name = argv[i], *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (!value) {
            fprintf(stderr, "%s needs a value\n", name);
            return 2;
        }
        if (!strcmp(name, "--port"))
            opt.port = atoi(value);
        else if (!strcmp(name, "--path"))
            opt.path = value;
        else if (!strcmp(name, "--connections"))
            opt.connections = atoi(value);
        else if (!strcmp(name, "--seconds"))
            opt.seconds = atof(value);
        else if (!strcmp(name, "--warmup"))
            opt.warmup = atof(value);
        else if (!strcmp(name, "--era"))
            opt.modern = !strcmp(value, "modern"), opt.agent = !strcmp(value, "agent"),
            opt.plain = opt.agent || !strcmp(value, "plain");
        else if (!strcmp(name, "--method"))
            opt.method = value;
        else if (!strcmp(name, "--tool"))
            opt.tool_count = split(argv[i + 1], opt.tools);
        else if (!strcmp(name, "--argument"))
            opt.argument = value;
        else if (!strcmp(name, "--inside"))
            opt.inside = value;
        else if (!strcmp(name, "--sessions"))
            opt.sessions = atol(value);
        else if (!strcmp(name, "--streams"))
            opt.streams = atol(value);
        else if (!strcmp(name, "--calls"))
            opt.calls = atol(value);
        else if (!strcmp(name, "--frames"))
            opt.frames = atol(value);
        else if (!strcmp(name, "--header"))
            buf_addf(&header_text, "%s\r\n", value);
        else {
            fprintf(stderr, "unknown option %s\n", name);
            return 2;
        }
    }
    static const char *methods[] = {"tools/call", "tools/list", "prompts/get", "resources/read"};
    int kind = 0;
    while (kind < 4 && strcmp(opt.method, methods[kind])) kind++;
    opt.kind = kind < 4 ? kind : CALL;
    opt.calling = opt.kind == CALL || opt.kind == PROMPT;
    if (opt.port < 1 || opt.connections < 1 || opt.tool_count < 1 || kind == 4) {
        fprintf(stderr, "needs --port, at least one connection, a tool, and a method it knows\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    raise_file_limit();
    if (opt.sessions) return leave_sessions();
    return opt.streams ? hold_streams() : run();
}
