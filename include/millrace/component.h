/* SPDX-License-Identifier: Apache-2.0
 *
 * Write a component: functions that ANALOG programs call. This is all a component sees of the
 * engine.
 *
 * A component is one file with one constant `struct mr_component`, named in the table of
 * host/components/table.c. It defines functions. A function is vectorised: one call handles the n
 * rows of a batch, columns in, column out. The rows of a batch belong to one token and stand in
 * arrival order; rows of one context key are never handled by two workers at once, and a later
 * row of a key never before an earlier one.
 *
 * Memory: arguments are borrowed until the token closes (packet.h). What a function puts into
 * its result must live as long: constants, arguments, mr_alloc() memory, or a mr_buffer that it
 * hands over with mr_keep(). A context slot is zero when its context is new, and lives as long as
 * the context (for a flow key: as long as the flow). It may be moved by a plain copy between calls:
 * it must not point into itself.
 *
 * Rules: never block; never allocate with malloc on the packet path; no file-scope state that
 * changes. Everything from the wire is hostile: check every length.
 */
#ifndef MILLRACE_COMPONENT_H
#define MILLRACE_COMPONENT_H

#include <stddef.h>
#include <stdint.h>

#include "millrace/device.h"
#include "millrace/packet.h"
#include "millrace/status.h"

#define MR_COMPONENT_ABI 1

/* Types of attributes, and the names that `millrace components` and error messages use. */
#define MR_TYPE_LIST(X)                                                                            \
    X(MR_TYPE_ANY, "any")         /* in signatures only: takes every type */                       \
    X(MR_TYPE_NODE, "node")       /* the location attribute @N */                                  \
    X(MR_TYPE_INT, "int")         /* value.i */                                                    \
    X(MR_TYPE_REAL, "real")       /* value.d */                                                    \
    X(MR_TYPE_STRING, "string")   /* value.b: bytes, not terminated, not always text */            \
    X(MR_TYPE_ADDRESS, "address") /* value.b.ptr: struct mr_endpoint */                            \
    X(MR_TYPE_FLOW, "flow")       /* value.b.ptr: struct mr_flow_key */                            \
    X(MR_TYPE_PACKET, "packet")   /* value.b.ptr: struct mr_packet */                              \
    X(MR_TYPE_STREAM, "stream")   /* value.b.ptr: struct mr_chunk; read as string: its data */     \
    X(MR_TYPE_LIST, "list")       /* value.b: elements behind one another: millrace/list.h */

enum mr_type {
#define X(name, text) name,
    MR_TYPE_LIST(X)
#undef X
};

/* One value: 16 bytes whatever its type. */
union mr_value {
    int64_t i;
    double d;
    struct {
        const void *ptr;
        uint32_t len;
        uint32_t aux; /* 0 unless the producing function says otherwise */
    } b;
};

static inline union mr_value mr_value_int(int64_t i)
{
    union mr_value v = {.b = {0, 0, 0}};
    v.i = i;
    return v;
}

static inline union mr_value mr_value_bytes(const void *ptr, uint32_t len)
{
    union mr_value v;
    v.b.ptr = ptr;
    v.b.len = len;
    v.b.aux = 0;
    return v;
}

/* For a string literal or an array of char. */
#define MR_VALUE_TEXT(literal) mr_value_bytes((literal), (uint32_t)sizeof(literal) - 1)

/* What an order class asks of the component a function is called from. */
enum mr_order {
    MR_ORDER_NONE,    /* no state: any component */
    MR_ORDER_CONTEXT, /* state per context key: a context-ordered component */
    MR_ORDER_TOTAL    /* state over everything: a serial component */
};

enum mr_shape {
    MR_SHAPE_MAP,   /* exactly one value for each row: writes call->out[row] */
    MR_SHAPE_EXPAND /* none, one or several values for a row: mr_yield(), rows ascending */
};

/* Why a batch is handed over. Only functions of order CONTEXT (and TOTAL) ever see anything but
 * DATA: then one row stands for the context. Its attributes are those of the tuple that opened the
 * context, but strings over 64 bytes are empty, packets are the timer itself and streams an empty
 * chunk. A function that goes by the rows that another one yields (by END chunks, say) may ignore
 * the cause. The row itself never leaves the component; what functions yield for it does. */
enum mr_cause {
    MR_CAUSE_DATA,
    MR_CAUSE_EXPIRE,  /* the one row stands for a context whose deadline passed */
    MR_CAUSE_EVICT,   /* ... for a context that must go since its table is full */
    MR_CAUSE_SHUTDOWN /* the input ended: the one row stands for a context still alive */
};

struct mr_function;
struct mr_buffer;
struct mr_event;
struct mr_transaction;

/* A constant argument, as the program wrote it. */
struct mr_constant {
    enum mr_type type;
    union mr_value value; /* strings: unescaped, followed by a NUL that len does not count */
    bool is_file;         /* written @"path": value is the path, resolved against the program's
                             folder */
};

/* What bind() may say about an argument that it refuses. */
struct mr_bind_error {
    uint32_t argument; /* which one, from 0 */
    int32_t offset;    /* byte in the (unescaped) string where the fault lies; -1: not known */
    char text[512];    /* one sentence */
};

/* One call. Fields are read-only for the function, but for out[]. */
struct mr_call {
    const struct mr_function *function;
    const void *config; /* what bind() made of the constant arguments */
    void *thread;       /* this worker's state of this binding, or NULL */
    uint32_t n;         /* rows */
    enum mr_cause cause;
    const union mr_value *const *args; /* args[a][row] */
    const enum mr_type *types;         /* types[a]: what an argument of type ANY is here */
    uint32_t n_args;                   /* those that the program gives */
    union mr_value *out;               /* out[row]; MAP only */
    struct mr_packet *const *packets;  /* packets[row]: what the row came from; never NULL */
    uint64_t now_ns;                   /* packet time of the timer; DATA: 0, see packets[row] */
    uint8_t **contexts;                /* runtime's: use mr_context() */
    uint32_t context_offset;
    void *runtime; /* runtime's */
};

/* This call site's state in the context of a row (function->context_bytes, zeroed at birth). */
static inline void *mr_context(const struct mr_call *call, uint32_t row)
{
    return call->contexts[row] + call->context_offset;
}

/* What a call does to the context or the flow of a row, or reads of it, where the cause is DATA.
 * Functions run over all rows of a burst one after the other, and what one does at a late packet
 * must not be seen by another at an earlier one: in a component where that could happen packets go
 * from function to function one by one, which costs time. It cannot where one function alone
 * renews, and before it nothing has state or effect; where none ends; and where those that tell
 * stand behind those that speak. */
enum mr_flow_use {
    MR_FLOW_RENEWS = 1,    /* mr_context_renew(), or it writes to what mr_flow_of() returns */
    MR_FLOW_ENDS = 2,      /* mr_context_end() */
    MR_FLOW_SPEAKS = 4,    /* mr_flow_speaks() */
    MR_FLOW_TELLS = 8,     /* mr_flow_protocol(), or events that say what a flow speaks: "alert",
                              "fileinfo", anomalies of type "applayer" */
    MR_FLOW_BYPASSES = 16, /* mr_flow_bypass(): who has other programs beside, shares the assembly
                              of flows only with those that ask for the same */
    MR_FLOW_ENCRYPTED = 32 /* mr_flow_encrypted() */
};

struct mr_function {
    const char *name;    /* "f_match"; looked up ignoring case */
    const char *aliases; /* more names, separated by blanks, or NULL */
    const char *summary; /* one line for people */
    enum mr_type args[8];
    uint8_t n_args; /* all of them obligatory but the last n_optional */
    uint8_t n_optional;
    uint8_t n_constant; /* this many of the last arguments must be constants */
    enum mr_type result;
    enum mr_order order;
    enum mr_shape shape;
    bool pure;   /* no effect but its result: the planner drops a call whose result nobody reads */
    bool shares; /* looks for what is shared of its first argument: mr_shared() */
    enum mr_type context_key;    /* order CONTEXT: the key type it needs (MR_TYPE_FLOW), or ANY */
    uint32_t context_bytes;      /* order CONTEXT: its slot, at most 4096 */
    const char *backends;        /* for `millrace components`: "cpu", "cpu cuda" */
    const char *const *counters; /* names, NULL-terminated, or NULL: see mr_count() */

    /* (optional) Start-up, one thread: constant arguments -> config. `constants` are the last
     * n_constants arguments that the program gave. MR_ERR_PROGRAM fills *error. */
    enum mr_status (*bind)(const struct mr_constant *constants, uint32_t n_constants, void **config,
                           struct mr_bind_error *error);
    void (*unbind)(void *config);
    /* (optional) Start-up: the state of one worker for one binding. */
    enum mr_status (*thread_open)(const void *config, void **thread);
    void (*thread_close)(void *thread);
    /* order CONTEXT or TOTAL: has nothing to say when a context goes, so that it need not be called
     * then. Where that holds for all functions of a component, contexts take less memory. */
    bool silent_end;
    uint8_t flow_use;     /* enum mr_flow_use, or-ed */
    bool of_transactions; /* what it yields may be of one: mr_yield_of() */
    /* (optional) A context goes: give back what its slot holds. Also called after expiry. */
    void (*context_close)(void *slot, void *runtime);
    /* (optional; order NONE, shape MAP, result from the first argument and constants alone) What a
     * device can do of it: device.h. */
    const struct mr_device_op *device;
    /* The work. Cannot fail: what is wrong with a packet is counted and told by events. */
    void (*call)(struct mr_call *call);
};

struct mr_component {
    uint32_t abi;   /* MR_COMPONENT_ABI */
    uint32_t bytes; /* sizeof(struct mr_component) */
    const char *name;
    const char *summary;
    const struct mr_function *functions;
    uint32_t n_functions;
};

/* ---- services: callable from call() only; none of them fails unless it says so ---- */

/* EXPAND: the rule fires for `row` with this result. Rows must not descend. The derived row takes
 * the context that the row has at this moment (mr_context_renew). */
void mr_yield(struct mr_call *call, uint32_t row, union mr_value value);

/* EXPAND: every row yields once, row i values[i], which must live as long as results do (an
 * argument does). Instead of mr_yield(), not beside it, and not where contexts are renewed. */
void mr_yield_each(struct mr_call *call, const union mr_value *values);

/* What of a flow a yielded value is: a mail, say. */
struct mr_transaction {
    uint32_t number;                    /* in its flow: `tx_id` of all its events */
    const struct mr_function *function; /* that yields what is of it */
    /* Writes the objects that alerts tell of it, but the one that has the name `but` (NULL: all of
     * them), into an event; from any thread, several at the same time. `call` has no rows: only
     * services that ask for none. Its `thread` is the state that the function has on this thread;
     * NULL: its program is gone. */
    void (*write)(const struct mr_transaction *transaction, struct mr_call *call,
                  struct mr_event *event, const char *but);
};

/* mr_yield() of what is of a transaction, which must live until the token closes. So are the row
 * that is derived and all that follows from it in this token, in any component and under any key;
 * not what comes out of a table. Alerts about it, and about what functions made of the value, have
 * `tx_id` and what write() writes. NULL: none. */
void mr_yield_of(struct mr_call *call, uint32_t row, union mr_value value,
                 const struct mr_transaction *transaction);

/* Can there be alerts, which would tell of transactions? */
bool mr_transactions_wanted(const struct mr_call *call);

/* Memory that lives until the token closes, 16-byte aligned; for results and small copies. NULL
 * when memory is used up (--memory); counted. */
void *mr_alloc(struct mr_call *call, size_t bytes);

/* A keyed hash of bytes: same input, same result within a run; nobody outside can predict it. */
uint64_t mr_hash(const struct mr_call *call, const void *bytes, size_t len);

/* The flow that a row's context stands for; NULL when the context key is no flow. */
struct mr_flow *mr_flow_of(const struct mr_call *call, uint32_t row);

/* Asks the memory for this call site's state and the flow's account of a row that comes soon, for
 * functions that do little else with a row than count. Rows behind the last one are no error. */
void mr_context_ahead(const struct mr_call *call, uint32_t row);

/* From the row's packet on its flow speaks `name`, a static string: "smtp"; "failed": nobody can
 * tell which, which counts where nobody has. Of what is said at one packet the last counts. Nothing
 * happens where the context key is no flow. For functions with MR_FLOW_SPEAKS. */
void mr_flow_speaks(struct mr_call *call, uint32_t row, const char *name);

/* What the row's flow speaks, as far as the row's packet tells; NULL: nobody has said. For
 * functions with MR_FLOW_TELLS. */
const char *mr_flow_protocol(const struct mr_call *call, uint32_t row);

/* The rest of the row's flow passes uninspected: its bytes are no longer assembled, the flow is
 * still followed and counted, and its end told. That begins with the first packet whose number is
 * at least MR_BYPASS_PACKETS above that of the row's packet, so that it does not depend on bursts.
 * False where the flow is not assembled in this group: nothing happens. For functions with
 * MR_FLOW_BYPASSES. */
#define MR_BYPASS_PACKETS 1024
bool mr_flow_bypass(struct mr_call *call, uint32_t row);

/* The rest of the row's flow is encrypted: bypassed, when the user wants that (--bypass-encrypted).
 * For functions with MR_FLOW_ENCRYPTED. */
void mr_flow_encrypted(struct mr_call *call, uint32_t row);

/* How many bytes of each direction of a stream are to be inspected (--depth); UINT64_MAX: all. */
uint64_t mr_stream_depth(const struct mr_call *call);

/* The flow of the row is over and another one begins under the same key: rows yielded from here
 * on carry a new, zeroed context. The old one is closed when the batch has passed all stages. For
 * functions with MR_FLOW_RENEWS. */
void mr_context_renew(struct mr_call *call, uint32_t row);

/* The context of the row will be closed when the batch has passed all stages of the lane; what
 * comes later under its key begins anew. Where the cause is DATA for functions with MR_FLOW_ENDS.
 */
void mr_context_end(struct mr_call *call, uint32_t row);

/* The row's context is handed over with MR_CAUSE_EXPIRE when packet time passes `deadline_ns`
 * (to the next second) and no later deadline was set meanwhile. 0: never. Where several functions
 * set it the call for the latest packet counts, whatever the burst. */
void mr_context_deadline(struct mr_call *call, uint32_t row, uint64_t deadline_ns);

/* Adds to function->counters[index]. Of a row that only asks what a context has to say at a timer
 * or at its end, functions without order count and tell nothing: here and with events it has no
 * effect. */
void mr_count(struct mr_call *call, uint32_t index, uint64_t n);

/* What the user wants told of mails and of the files in them. */
struct mr_mail_settings {
    bool subject_md5, body_md5;            /* in `email` */
    bool file_md5, file_sha1, file_sha256; /* in `fileinfo` */
    bool extract;                          /* mr_extract() leads somewhere */
    uint32_t most_bytes;                   /* kept of a mail in memory; 0: as the component wants */
};
const struct mr_mail_settings *mr_mail_settings(const struct mr_call *call);

/* A file for the folder of --extract, written with the events of the row, in their order. `name`:
 * at most 100 letters, digits and dots, a letter or digit first; the same name means the same
 * bytes. write() is called at most once, from another thread, and hands the bytes to piece();
 * `what` and all that it needs must live until the token closes. False: there was no memory
 * (counted), or nothing is extracted. */
typedef void mr_piece(void *user, const uint8_t *bytes, size_t len);
bool mr_extract(struct mr_call *call, uint32_t row, const char *name,
                void (*write)(const void *what, mr_piece *piece, void *user), const void *what);

/* ---- buffers: bounded, pooled memory for what outlives a token ---- */

struct mr_buffer {
    uint8_t *data;
    uint32_t len;           /* the user's */
    uint32_t capacity;      /* bytes at data */
    struct mr_buffer *next; /* the user's while he owns it */
};

/* A buffer of at least `capacity` bytes, len 0; gives it to the caller. NULL when the pool's cap is
 * reached or the capacity is over 64 MiB: the caller then drops what it wanted to keep, and
 * counts that. `runtime` is call->runtime (or what context_close was given). */
struct mr_buffer *mr_buffer_get(void *runtime, size_t capacity);

/* Takes a buffer back. NULL is allowed. */
void mr_buffer_put(void *runtime, struct mr_buffer *buffer);

/* Takes a buffer and gives it back when the token closes, so that results may point into it. */
void mr_keep(struct mr_call *call, struct mr_buffer *buffer);

/* ---- shared: what several functions need of the same bytes is made once ----
 *
 * Who hands out bytes that many will look into (a mail, say) shares them. Functions with `shares`
 * keep with them what they made, under a key of their own (the address of a constant), and find
 * what others kept, on any worker, until the token closes. Nobody waits: two that make the same at
 * the same moment make it twice, and both get the first. */

/* `value` is bytes that stay until the token closes. */
void mr_share(struct mr_call *call, union mr_value value);

/* Did anybody share it? */
bool mr_is_shared(const struct mr_call *call, union mr_value value);

/* How many calls in the programs have `shares`: where there is but one, nothing need be kept. */
uint32_t mr_sharers(const struct mr_call *call);

/* What is kept under a key; NULL: nothing. */
const void *mr_shared(struct mr_call *call, union mr_value value, const void *key);

/* Memory for what is to be kept. NULL: there is little left, or none: then everybody makes it anew,
 * and nothing is lost (nor counted so). */
void *mr_share_alloc(struct mr_call *call, size_t bytes);

/* Keeps what was made, in memory that stays until the token closes; returns what is kept, which is
 * `made` itself unless somebody was faster. With bytes that nobody shared nothing is kept. */
const void *mr_share_made(struct mr_call *call, union mr_value value, const void *key,
                          const void *made);

/* ---- events: one EVE record each, written in token order ---- */

/* Opens an event about `row`: timestamp, flow_id, addresses, proto, community_id are filled in
 * (from the flow of the row if it has one, client -> server; else from its packet), and in an
 * "alert" what is told of the transaction that the arguments of the row are of. NULL when
 * events of this type are switched off; every function below takes NULL and does nothing.
 * Strings may be any bytes: what is not UTF-8 is replaced, what is too long is cut and marked. */
struct mr_event *mr_event_open(struct mr_call *call, uint32_t row, const char *type);
/* Would it open one? For work that is done for events only. */
bool mr_event_wanted(const struct mr_call *call, const char *type);
void mr_event_string(struct mr_event *event, const char *key, const void *bytes, size_t len);
void mr_event_int(struct mr_event *event, const char *key, int64_t value);
void mr_event_bool(struct mr_event *event, const char *key, bool value);
void mr_event_time(struct mr_event *event, const char *key, uint64_t time_ns);
/* key is NULL inside an array. mr_event_end() ends the innermost object or array. */
void mr_event_object(struct mr_event *event, const char *key);
void mr_event_array(struct mr_event *event, const char *key);
void mr_event_end(struct mr_event *event);
void mr_event_close(struct mr_event *event);

/* An `anomaly` event: anomaly.type "applayer" or "stream", anomaly.event the name given, and
 * anomaly.app_proto. At most 16 of one function in one
 * flow are written, the rest counted; also in a parallel component, whoever runs it. */
void mr_anomaly(struct mr_call *call, uint32_t row, const char *type, const char *name);

#endif
