/* A fast MCP server that does next to nothing: the upstream of the bench.
 *
 * One thread, one epoll loop, HTTP/1.1 with keep-alive on 127.0.0.1, every path. Both eras on one path:
 *   legacy  initialize (mints a session), notifications, ping, tools/list, tools/call, DELETE; JSON answers
 *   modern  server/discover, tools/list, tools/call, subscriptions/listen (acknowledged, then held open)
 * Below /agent it is an agent of A2A 1.0: its card, and SendMessage by JSON-RPC, answered with a message.
 * A POST below /plain is no MCP: its body is an object with a text, and so is the answer's.
 * GET is 405. Every tool echoes `arguments.text`; a call with a progress token and `arguments.frames` of N is answered
 * by an event stream: N progress notifications, each written by itself, then the result. It checks only what a broken client would otherwise get away
 * with in a benchmark: a legacy request must carry a session id, a modern one a version it speaks.
 *
 * At SIGUSR1 the descriptions of its tools change, and whoever listens is told.
 *
 * Usage: stub [--port N] [--tools N]. Prints {"port": N} once it listens; ends when its stdin is closed. */
#include "wire.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define INFO "{\"name\":\"bench-stub\",\"version\":\"1.0.0\"}"
#define META "\"_meta\":{\"io.modelcontextprotocol/serverInfo\":" INFO "}"
#define CAPABILITIES "{\"tools\":{\"listChanged\":true}}"
#define KEEP_ALIVE_SECONDS 15
/* Brings the bodies of a legacy call and its answer to about 400 bytes together. */
#define FILLER                                                                                                  \
    "The quick brown fox jumps over the lazy dog while the five boxing wizards jump quickly over the sphinx of " \
    "black quartz and judge my vow again."

typedef struct {
    int fd;
    bool held, writing, closing;
    char listen_id[64]; /* JSON text; of a held connection that wants to hear of its tools */
    buf in, out;
} conn;

static int epoll_fd;
static conn **conns;
static int conns_size;
static buf tools_text;
static buf decoded;
static uint64_t sessions;
static volatile sig_atomic_t changes_asked;
static long changes_made;

static void build_tools(int count) {
    tools_text.n = 0;
    buf_addf(&tools_text, "\"tools\":[");
    for (int i = 0; i < count; i++) {
        char name[32] = "echo";
        if (i) snprintf(name, sizeof name, "echo_%03d", i);
        buf_addf(&tools_text,
                 "%s{\"name\":\"%s\",\"title\":\"Echo\",\"description\":\"Says the given text back, followed by a "
                 "sentence that never changes, edition %05ld.\",\"inputSchema\":{\"type\":\"object\",\"properties\":{\"text\":{"
                 "\"type\":\"string\",\"description\":\"What to say.\"}},\"required\":[\"text\"]},\"annotations\":{"
                 "\"readOnlyHint\":true,\"idempotentHint\":true}}",
                 i ? "," : "", name, changes_made);
    }
    buf_addf(&tools_text, "]");
}

/* --- answers ------------------------------------------------------------------------------------------ */

static void answer(buf *out, const char *status, const char *headers, const buf *body) {
    buf_addf(out, "HTTP/1.1 %s\r\n%sContent-Length: %zu\r\n\r\n", status, headers, body ? body->n : 0);
    if (body) buf_add(out, body->p, body->n);
}

static const char JSON_TYPE[] = "Content-Type: application/json\r\n";

static void refuse(buf *out, const char *status, span id, int code, const char *message, const char *data) {
    buf body = {0};
    buf_addf(&body, "{\"jsonrpc\":\"2.0\",\"id\":%.*s,\"error\":{\"code\":%d,\"message\":\"%s\"%s}}",
             id.p ? (int)id.n : 4, id.p ? id.p : "null", code, message, data);
    answer(out, status, JSON_TYPE, &body);
    free(body.p);
}

static void initialize(buf *out, span id, span params) {
    static const char *known[] = {"2024-11-05", "2025-03-26", "2025-06-18", LEGACY_VERSION};
    const char *version = LEGACY_VERSION;
    span asked = json_text(params, "protocolVersion");
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (span_is(asked, known[i])) version = known[i];
    char headers[128];
    snprintf(headers, sizeof headers, "%sMcp-Session-Id: bench-%026llx\r\n", JSON_TYPE,
             (unsigned long long)++sessions);
    buf body = {0};
    buf_addf(&body,
             "{\"jsonrpc\":\"2.0\",\"id\":%.*s,\"result\":{\"protocolVersion\":\"%s\",\"capabilities\":" CAPABILITIES
             ",\"serverInfo\":" INFO "}}",
             (int)id.n, id.p, version);
    answer(out, "200 OK", headers, &body);
    free(body.p);
}

static void listen_open(conn *c, span id, span params) {
    span wanted = json_get(params, "notifications");
    buf event = {0};
    buf_addf(&event,
             "event: message\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/subscriptions/acknowledged\","
             "\"params\":{\"_meta\":{\"io.modelcontextprotocol/subscriptionId\":%.*s},\"notifications\":{%s}}}\n\n",
             (int)id.n, id.p,
             span_is(json_get(wanted, "toolsListChanged"), "true") ? "\"toolsListChanged\":true" : "");
    buf_addf(&c->out,
             "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-store\r\n"
             "X-Accel-Buffering: no\r\nTransfer-Encoding: chunked\r\n\r\n%zx\r\n",
             event.n);
    buf_add(&c->out, event.p, event.n);
    buf_addf(&c->out, "\r\n");
    free(event.p);
    c->held = true;
    if (span_is(json_get(wanted, "toolsListChanged"), "true") && id.n < sizeof c->listen_id)
        memcpy(c->listen_id, id.p, id.n);
}

/* The start of a result, which the caller goes on with: {"jsonrpc":"2.0","id":7,"result":{ */
static void result_open(buf *body, span id, bool modern) {
    buf_addf(body, "{\"jsonrpc\":\"2.0\",\"id\":%.*s,\"result\":{%s", (int)id.n, id.p,
             modern ? "\"resultType\":\"complete\"," META "," : "");
}

/* Writes what can be written; what is left, and an error, are for `flush`. */
static void push(conn *c) {
    while (c->out.n) {
        ssize_t n = write(c->fd, c->out.p, c->out.n);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return;
        buf_drop(&c->out, (size_t)n);
    }
}

static void add_event(buf *out, const buf *data) {
    static const char before[] = "event: message\ndata: ", after[] = "\n\n\r\n";
    buf_addf(out, "%zx\r\n%s", sizeof before - 1 + data->n + 2, before);
    buf_add(out, data->p, data->n);
    buf_add(out, after, sizeof after - 1);
}

static void stream_progress(conn *c, span token, long frames, const buf *result) {
    static buf event;
    buf_addf(&c->out, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-store\r\n"
                      "Transfer-Encoding: chunked\r\n\r\n");
    for (long i = 1; i <= frames; i++) {
        event.n = 0;
        buf_addf(&event,
                 "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{\"progressToken\":%.*s,"
                 "\"progress\":%ld,\"total\":%ld}}",
                 (int)token.n, token.p, i, frames);
        add_event(&c->out, &event);
        push(c);
    }
    add_event(&c->out, result);
    buf_addf(&c->out, "0\r\n\r\n");
}

static void serve_plain(conn *c, span message) {
    static buf body;
    span text = json_text(message, "text");
    body.n = 0;
    buf_addf(&body, "{\"text\":\"%.*s " FILLER "\"}", (int)text.n, text.p ? text.p : "");
    answer(&c->out, "200 OK", JSON_TYPE, &body);
}

static void serve_card(conn *c, span head) {
    static buf body;
    span host = http_header(head, "host");
    body.n = 0;
    buf_addf(&body,
             "{\"name\":\"bench-stub\",\"description\":\"Says things back.\",\"version\":\"1\",\"capabilities\":{},"
             "\"defaultInputModes\":[\"text/plain\"],\"defaultOutputModes\":[\"text/plain\"],\"skills\":[{\"id\":\"echo\","
             "\"name\":\"Echo\",\"description\":\"Says it back.\",\"tags\":[\"talk\"]}],\"supportedInterfaces\":[{\"url\":"
             "\"http://%.*s/agent\",\"protocolBinding\":\"JSONRPC\",\"protocolVersion\":\"1.0\"}]}",
             (int)host.n, host.p ? host.p : "");
    answer(&c->out, "200 OK", JSON_TYPE, &body);
}

static void serve_agent(conn *c, span message) {
    static buf body;
    span id = json_get(message, "id"), said = json_get(json_get(message, "params"), "message");
    const char *at = said.p ? memmem(said.p, said.n, "\"text\"", 6) : NULL;
    const char *from = at ? memchr(at + 6, '"', (size_t)(said.p + said.n - at - 6)) : NULL;
    const char *to = from ? memchr(from + 1, '"', (size_t)(said.p + said.n - from - 1)) : NULL;
    if (!span_is(json_text(message, "method"), "SendMessage") || !to) {
        refuse(&c->out, "200 OK", id, -32601, "only SendMessage with a text", "");
        return;
    }
    body.n = 0;
    buf_addf(&body,
             "{\"jsonrpc\":\"2.0\",\"id\":%.*s,\"result\":{\"message\":{\"messageId\":\"m\",\"role\":\"ROLE_AGENT\","
             "\"contextId\":\"c\",\"parts\":[{\"text\":\"%.*s " FILLER "\"}]}}}",
             (int)id.n, id.p, (int)(to - from - 1), from + 1);
    answer(&c->out, "200 OK", JSON_TYPE, &body);
}

static void serve_post(conn *c, span head, span message) {
    buf *out = &c->out;
    static buf body;
    body.n = 0;
    span method = json_text(message, "method"), id = json_get(message, "id"), params = json_get(message, "params");
    if (!method.p || !id.p) {
        bool ok = method.p || json_get(message, "result").p || json_get(message, "error").p;
        if (ok)
            answer(out, "202 Accepted", "", NULL);
        else
            refuse(out, "400 Bad Request", id, -32600, "not one JSON-RPC message", "");
        return;
    }
    span version = json_text(json_get(params, "_meta"), "io.modelcontextprotocol/protocolVersion");
    bool modern = version.p || header_is(head, "mcp-protocol-version", MODERN_VERSION);
    if (modern && !span_is(version, MODERN_VERSION)) {
        if (version.p)
            refuse(out, "400 Bad Request", id, -32022, "unsupported protocol version",
                   ",\"data\":{\"supported\":[\"" MODERN_VERSION "\"]}");
        else
            refuse(out, "400 Bad Request", id, -32602, "_meta lacks the protocol version", "");
        return;
    }
    if (!modern && span_is(method, "initialize")) {
        initialize(out, id, params);
        return;
    }
    if (!modern && !http_header(head, "mcp-session-id").p) {
        refuse(out, "400 Bad Request", id, -32600, "no Mcp-Session-Id", "");
        return;
    }
    if (span_is(method, "tools/call")) {
        span arguments = json_get(params, "arguments"), text = json_text(arguments, "text");
        span frames = json_get(arguments, "frames"), token = json_get(json_get(params, "_meta"), "progressToken");
        result_open(&body, id, modern);
        buf_addf(&body, "\"content\":[{\"type\":\"text\",\"text\":\"%.*s " FILLER "\"}],\"isError\":false}}",
                 (int)text.n, text.p ? text.p : "");
        if (frames.p && token.p) {
            stream_progress(c, token, strtol(frames.p, NULL, 10), &body);
            return;
        }
    } else if (span_is(method, "tools/list")) {
        result_open(&body, id, modern);
        if (modern) buf_addf(&body, "\"ttlMs\":300000,\"cacheScope\":\"public\",");
        buf_add(&body, tools_text.p, tools_text.n);
        buf_add(&body, "}}", 2);
    } else if (modern && span_is(method, "server/discover")) {
        result_open(&body, id, true);
        buf_addf(&body, "\"supportedVersions\":[\"" MODERN_VERSION "\"],\"capabilities\":" CAPABILITIES
                        ",\"ttlMs\":3600000,\"cacheScope\":\"public\"}}");
    } else if (modern && span_is(method, "subscriptions/listen")) {
        listen_open(c, id, params);
        return;
    } else if (!modern && span_is(method, "ping")) {
        result_open(&body, id, false);
        buf_add(&body, "}}", 2);
    } else {
        refuse(out, modern ? "404 Not Found" : "200 OK", id, -32601, "method not found", "");
        return;
    }
    answer(out, "200 OK", JSON_TYPE, &body);
}

/* --- connections -------------------------------------------------------------------------------------- */

static void hang_up(conn *c) {
    conns[c->fd] = NULL;
    close(c->fd);
    free(c->in.p);
    free(c->out.p);
    free(c);
}

/* False when the connection is gone. */
static bool flush(conn *c) {
    while (c->out.n) {
        ssize_t n = write(c->fd, c->out.p, c->out.n);
        if (n < 0) {
            if (errno == EINTR) continue;
            if (errno != EAGAIN) {
                hang_up(c);
                return false;
            }
            break;
        }
        buf_drop(&c->out, (size_t)n);
    }
    bool writing = c->out.n > 0;
    if (writing != c->writing) {
        struct epoll_event event = {.events = EPOLLIN | (writing ? EPOLLOUT : 0), .data.fd = c->fd};
        epoll_ctl(epoll_fd, EPOLL_CTL_MOD, c->fd, &event);
        c->writing = writing;
    }
    if (c->closing && !writing) {
        hang_up(c);
        return false;
    }
    return true;
}

static void serve(conn *c) {
    while (c->in.n && !c->held && !c->closing) {
        span head, body;
        long used = http_message(&c->in, &decoded, false, false, &head, &body);
        if (!used) break;
        if (used < 0) {
            answer(&c->out, "400 Bad Request", "Connection: close\r\n", NULL);
            c->closing = true;
            break;
        }
        if (!memcmp(c->in.p, "GET /agent", 10))
            serve_card(c, head);
        else if (!memcmp(c->in.p, "POST /agent", 11))
            serve_agent(c, body);
        else if (!memcmp(c->in.p, "POST /plain", 11))
            serve_plain(c, body);
        else if (!memcmp(c->in.p, "POST ", 5))
            serve_post(c, head, body);
        else if (!memcmp(c->in.p, "DELETE ", 7))
            answer(&c->out, "200 OK", "", NULL);
        else
            answer(&c->out, "405 Method Not Allowed", "Allow: POST, DELETE\r\n", NULL);
        if (header_is(head, "connection", "close")) c->closing = !c->held;
        buf_drop(&c->in, (size_t)used);
    }
    flush(c);
}

static void readable(conn *c) {
    buf_reserve(&c->in, 16384);
    ssize_t n = read(c->fd, c->in.p + c->in.n, c->in.cap - c->in.n);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n <= 0) {
        hang_up(c);
        return;
    }
    c->in.n += (size_t)n;
    serve(c);
}

static void accept_all(int listener) {
    for (;;) {
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC), one = 1;
        if (fd < 0) return;
        if (fd >= conns_size) {
            close(fd);
            continue;
        }
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        conn *c = calloc(1, sizeof *c);
        if (!c) die("calloc");
        c->fd = fd;
        conns[fd] = c;
        struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
        epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event);
    }
}

static void keep_streams_alive(void) {
    static const char comment[] = "3\r\n:\n\n\r\n";
    for (int fd = 0; fd < conns_size; fd++) {
        conn *c = conns[fd];
        if (!c || !c->held) continue;
        buf_add(&c->out, comment, sizeof comment - 1);
        flush(c);
    }
}

static void ask_change(int number) { changes_asked += number == SIGUSR1; }

static void change_tools(int count) {
    changes_made++;
    build_tools(count);
    for (int fd = 0; fd < conns_size; fd++) {
        conn *c = conns[fd];
        if (!c || !c->held || !c->listen_id[0]) continue;
        buf event = {0};
        buf_addf(&event,
                 "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/tools/list_changed\",\"params\":{\"_meta\":{"
                 "\"io.modelcontextprotocol/subscriptionId\":%s}}}",
                 c->listen_id);
        add_event(&c->out, &event);
        free(event.p);
        flush(c);
    }
}

int main(int argc, char **argv) {
    int port = 0, tools = 20;
    for (int i = 1; i + 1 < argc; i += 2) {
        if (!strcmp(argv[i], "--port"))
            port = atoi(argv[i + 1]);
        else if (!strcmp(argv[i], "--tools"))
            tools = atoi(argv[i + 1]);
        else {
            fprintf(stderr, "unknown option %s\n", argv[i]);
            return 2;
        }
    }
    signal(SIGPIPE, SIG_IGN);
    signal(SIGUSR1, ask_change);
    raise_file_limit();
    build_tools(tools > 0 ? tools : 1);
    conns_size = 1 << 17;
    conns = calloc((size_t)conns_size, sizeof *conns);
    if (!conns) die("calloc");

    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), one = 1;
    if (listener < 0) die("socket");
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    if (bind(listener, (struct sockaddr *)&address, size) || listen(listener, 4096)) die("listen");
    getsockname(listener, (struct sockaddr *)&address, &size);
    printf("{\"port\": %d}\n", ntohs(address.sin_port));
    fflush(stdout);

    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listener};
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listener, &event);
    event.data.fd = STDIN_FILENO;
    /* Fails for /dev/null and for files, which never end: then only a signal stops the stub. */
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, STDIN_FILENO, &event);

    struct epoll_event events[256];
    time_t quiet_since = time(NULL);
    for (;;) {
        int n = epoll_wait(epoll_fd, events, 256, KEEP_ALIVE_SECONDS * 1000);
        if (n < 0 && errno != EINTR) die("epoll_wait");
        for (int i = 0; i < n; i++) {
            int fd = events[i].data.fd;
            if (fd == listener) {
                accept_all(listener);
            } else if (fd == STDIN_FILENO) {
                char sink[256];
                if (read(fd, sink, sizeof sink) <= 0) return 0;
            } else if (conns[fd]) {
                conn *c = conns[fd];
                if ((events[i].events & EPOLLOUT) && !flush(c)) continue;
                if (events[i].events & ~(uint32_t)EPOLLOUT) readable(c);
            }
        }
        for (; changes_made < changes_asked;) change_tools(tools > 0 ? tools : 1);
        time_t now = time(NULL);
        if (now - quiet_since >= KEEP_ALIVE_SECONDS) {
            keep_streams_alive();
            quiet_since = now;
        }
    }
}
