/* Events as lines of text. */
#include "harness/internal.h"

#include <stdarg.h>
#include <string.h>

__attribute__((format(printf, 2, 3))) static void put(struct mr_harness *harness,
                                                      const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int len = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    CHECK(len >= 0);
    size_t need = harness->text_len + (size_t)len + 1;
    if (need > harness->text_capacity) {
        harness->text_capacity = 2 * need;
        harness->text = realloc(harness->text, harness->text_capacity);
        CHECK(harness->text);
    }
    va_start(arguments, format);
    vsnprintf(harness->text + harness->text_len, (size_t)len + 1, format, arguments);
    va_end(arguments);
    harness->text_len += (size_t)len;
}

static void put_path(struct mr_event *event, const char *key)
{
    const char *separator = "";

    CHECK(!key == (event->depth && event->array[event->depth - 1]));
    put(event->harness, " ");
    for (uint32_t i = 0; i < event->depth; i++)
        if (event->path[i]) {
            put(event->harness, "%s%s", separator, event->path[i]);
            separator = ".";
        }
    if (key)
        put(event->harness, "%s%s", separator, key);
    put(event->harness, "=");
}

const char *mr_harness_events(const struct mr_harness *harness)
{
    return harness->text;
}

void mr_harness_forget_events(struct mr_harness *harness)
{
    harness->text_len = 0;
    harness->text[0] = '\0';
}

bool mr_event_wanted(const struct mr_call *call, const char *type)
{
    (void)call;
    (void)type;
    return true;
}

bool mr_transactions_wanted(const struct mr_call *call)
{
    (void)call;
    return true;
}

struct mr_event *mr_event_open(struct mr_call *call, uint32_t row, const char *type)
{
    struct mr_harness *harness = call->runtime;

    CHECK(!harness->event_open && row < call->n);
    if (harness->all_off || (harness->off_type && !strcmp(harness->off_type, type)))
        return NULL;
    harness->event = (struct mr_event){.harness = harness};
    harness->event_open = true;
    put(harness, "%s row=%u", type, row);
    return &harness->event;
}

void mr_harness_alert(struct mr_harness *harness, const struct mr_transaction *transaction)
{
    struct mr_call call = {
        .function = transaction->function, .thread = harness->thread, .runtime = harness};

    CHECK(!harness->event_open);
    harness->event = (struct mr_event){.harness = harness};
    harness->event_open = true;
    put(harness, "alert");
    transaction->write(transaction, &call, &harness->event, NULL);
    mr_event_close(&harness->event);
}

void mr_event_string(struct mr_event *event, const char *key, const void *bytes, size_t len)
{
    if (!event)
        return;
    put_path(event, key);
    put(event->harness, "\"");
    for (size_t i = 0; i < len; i++) {
        uint8_t c = ((const uint8_t *)bytes)[i];
        put(event->harness, c < 0x20 || c > 0x7e || c == '"' || c == '\\' ? "\\x%02x" : "%c", c);
    }
    put(event->harness, "\"");
}

void mr_event_int(struct mr_event *event, const char *key, int64_t value)
{
    if (!event)
        return;
    put_path(event, key);
    put(event->harness, "%lld", (long long)value);
}

void mr_event_bool(struct mr_event *event, const char *key, bool value)
{
    if (!event)
        return;
    put_path(event, key);
    put(event->harness, value ? "true" : "false");
}

void mr_event_time(struct mr_event *event, const char *key, uint64_t time_ns)
{
    if (!event)
        return;
    put_path(event, key);
    put(event->harness, "%lluns", (unsigned long long)time_ns);
}

static void enter(struct mr_event *event, const char *key, bool array)
{
    if (!event)
        return;
    CHECK(event->depth < MAX_DEPTH);
    CHECK(!key == (event->depth && event->array[event->depth - 1]));
    event->path[event->depth] = key;
    event->array[event->depth++] = array;
}

void mr_event_object(struct mr_event *event, const char *key)
{
    enter(event, key, false);
}

void mr_event_array(struct mr_event *event, const char *key)
{
    enter(event, key, true);
}

void mr_event_end(struct mr_event *event)
{
    if (!event)
        return;
    CHECK(event->depth);
    event->depth--;
}

void mr_event_close(struct mr_event *event)
{
    if (!event)
        return;
    CHECK(event->harness->event_open);
    put(event->harness, "\n");
    event->harness->event_open = false;
}

void mr_anomaly(struct mr_call *call, uint32_t row, const char *type, const char *name)
{
    struct mr_event *event = mr_event_open(call, row, "anomaly");
    mr_event_object(event, "anomaly");
    mr_event_string(event, "type", type, strlen(type));
    mr_event_string(event, "event", name, strlen(name));
    mr_event_end(event);
    mr_event_close(event);
}
