/* What went to the device and came of it, site by site: the table of --stats, JSON, Prometheus. */
#include "engine/json.h"
#include "engine/report.h"
#include "engine/sites.h"

#include "metrics/prometheus.h"

/* What a site's functions ask for, e.g. "1200 patterns, 1 model". */
static const char *what_of(const struct mr_site *site, char text[64])
{
    char patterns[24] = "", models[24] = "";

    if (site->set.n)
        snprintf(patterns, sizeof patterns, "%u pattern%s", site->set.n,
                 site->set.n > 1 ? "s" : "");
    if (site->work.n_models)
        snprintf(models, sizeof models, "%u model%s", site->work.n_models,
                 site->work.n_models > 1 ? "s" : "");
    snprintf(text, 64, "%s%s%s", patterns, *patterns && *models ? ", " : "", models);
    return text;
}

/* Site i, and behind the last one those that are gone, together: false where there are none. */
static bool figures_of(const struct mr_engine *engine, uint32_t i, struct mr_site_figures *f)
{
    uint32_t n = engine->sites ? engine->sites->n : 0;

    *f = (struct mr_site_figures){.name = "sites that are gone"};
    if (i > n || !engine->device.backend || (!engine->sites && !engine->past_offload.batches))
        return false;
    if (i == n) {
        f->counters = engine->past_offload;
        return f->counters.batches != 0;
    }
    const struct mr_site *site = engine->sites->list[i];
    f->name = site->name;
    f->on_cpu = !atomic_load(&site->offload);
    if (!f->on_cpu)
        what_of(site, f->what);
    mr_site_count(site, &f->counters);
    return true;
}

static double each(uint64_t sum, uint64_t n)
{
    return n ? (double)sum / (double)n : 0;
}

static uint64_t copy_ns(const struct mr_offload_counters *c)
{
    return c->device_ns - c->kernels_ns;
}

/* ---- for people ---- */

static void print_falls(const struct mr_offload_counters *c, FILE *to)
{
    const char *before = "            left to the CPU:";

    for (int i = 0; i < MR_FALLS; i++) {
        if (!c->falls[i])
            continue;
        fprintf(to, "%s %s %llu", before, mr_fall_name((enum mr_fall)i),
                (unsigned long long)c->falls[i]);
        before = ",";
    }
    if (*before == ',')
        fputc('\n', to);
    before = "            failures:";
    for (int i = 0; i < MR_TROUBLES; i++) {
        if (!c->troubles[i])
            continue;
        fprintf(to, "%s %s %llu", before, mr_trouble_name((enum mr_trouble)i),
                (unsigned long long)c->troubles[i]);
        before = ",";
    }
    if (*before == ',')
        fprintf(to, ", opened anew %llu\n", (unsigned long long)c->reopened);
}

static void print_site(const struct mr_site_figures *f, FILE *to)
{
    const struct mr_offload_counters *c = &f->counters;
    char age[16], oldest[16], turn[16], copies[16], kernels[16];

    fprintf(to, "%9llu %10llu %10.2f %5.1f%%", (unsigned long long)c->batches,
            (unsigned long long)c->messages, (double)c->bytes / 1e6,
            100 * each(c->bytes, c->fill_bytes));
    for (int i = 0; i < MR_CLOSES; i++)
        fprintf(to, " %8llu", (unsigned long long)c->closes[i]);
    fprintf(to, " %8s %8s %8s %8s %8s  %s%s%s%s\n",
            mr_time_text(each(c->age_ns, c->batches), c->batches, age),
            mr_time_text((double)c->age_max_ns, c->batches, oldest),
            mr_time_text(each(c->turn_ns, c->batches), c->batches, turn),
            mr_time_text(each(copy_ns(c), c->batches), c->batches, copies),
            mr_time_text(each(c->kernels_ns, c->batches), c->batches, kernels), f->name,
            *f->what ? ": " : "", f->what, f->on_cpu ? " (on the CPU)" : "");
    print_falls(c, to);
    if (c->checked)
        fprintf(to,
                "            checked on the CPU %llu, different %llu, taken from the device %llu\n",
                (unsigned long long)c->checked, (unsigned long long)c->different,
                (unsigned long long)c->demoted);
}

void mr_sites_print_stats(const struct mr_engine *engine, FILE *to)
{
    struct mr_site_figures f;

    for (uint32_t i = 0; figures_of(engine, i, &f); i++) {
        if (!i)
            fprintf(to,
                    "\n%9s %10s %10s %6s %35s %17s %26s\n"
                    "%9s %10s %10s %6s %8s %8s %8s %8s %8s %8s %8s %8s %8s  device %s\n",
                    "", "", "", "", "batches closed by", "age when closed", "back after", "batches",
                    "messages", "MB", "full", "bytes", "messages", "age", "flush", "mean", "most",
                    "mean", "copies", "kernels", engine->device.backend->name);
        print_site(&f, to);
    }
}

/* ---- for programs ---- */

static void put_site(const struct mr_site_figures *f, yajl_gen g)
{
    const struct mr_offload_counters *c = &f->counters;

    yajl_gen_map_open(g);
    mr_json_text(g, "site", f->name);
    mr_json_text(g, "work", f->what);
    mr_json_string(g, "on_cpu");
    yajl_gen_bool(g, f->on_cpu);
    mr_json_int(g, "batches", c->batches);
    mr_json_int(g, "messages", c->messages);
    mr_json_int(g, "bytes", c->bytes);
    mr_json_real(g, "fill", each(c->bytes, c->fill_bytes));
    mr_json_string(g, "closed");
    yajl_gen_map_open(g);
    for (int i = 0; i < MR_CLOSES; i++)
        mr_json_int(g, mr_close_name((enum mr_close)i), c->closes[i]);
    yajl_gen_map_close(g);
    mr_json_int(g, "age_ns", c->age_ns);
    mr_json_int(g, "age_max_ns", c->age_max_ns);
    mr_json_int(g, "turn_ns", c->turn_ns);
    mr_json_int(g, "copy_ns", copy_ns(c));
    mr_json_int(g, "kernel_ns", c->kernels_ns);
    mr_json_string(g, "left_to_cpu");
    yajl_gen_map_open(g);
    for (int i = 0; i < MR_FALLS; i++)
        mr_json_int(g, mr_fall_name((enum mr_fall)i), c->falls[i]);
    yajl_gen_map_close(g);
    mr_json_string(g, "failures");
    yajl_gen_map_open(g);
    for (int i = 0; i < MR_TROUBLES; i++)
        mr_json_int(g, mr_trouble_name((enum mr_trouble)i), c->troubles[i]);
    yajl_gen_map_close(g);
    mr_json_int(g, "reopened", c->reopened);
    mr_json_int(g, "checked", c->checked);
    mr_json_int(g, "different", c->different);
    mr_json_int(g, "demoted", c->demoted);
    yajl_gen_map_close(g);
}

void mr_sites_put(const struct mr_engine *engine, yajl_gen g)
{
    struct mr_site_figures f;

    mr_json_string(g, "device");
    yajl_gen_map_open(g);
    mr_json_text(g, "name", engine->device.backend ? engine->device.backend->name : "none");
    mr_json_string(g, "sites");
    yajl_gen_array_open(g);
    for (uint32_t i = 0; figures_of(engine, i, &f); i++)
        put_site(&f, g);
    yajl_gen_array_close(g);
    yajl_gen_map_close(g);
}

/* One family: a figure of every site, by up to one more label. */
static void put_family(const struct mr_engine *engine, FILE *to, const char *name, const char *help,
                       size_t offset, int n, const char *label, const char *(*label_of)(int))
{
    struct mr_site_figures f;
    char index[16];

    mr_prometheus_family(to, name, "counter", help);
    for (uint32_t i = 0; figures_of(engine, i, &f); i++) {
        const uint64_t *values =
            (const uint64_t *)(const void *)((const char *)&f.counters + offset);
        snprintf(index, sizeof index, "%u", i);
        for (int k = 0; k < n; k++) {
            struct mr_prometheus_label labels[] = {
                {"index", index}, {"site", f.name}, {label, label ? label_of(k) : NULL}};
            mr_prometheus_count(to, name, "", labels, label ? 3 : 2, values[k]);
        }
    }
}

static const char *close_name(int i)
{
    return mr_close_name((enum mr_close)i);
}

static const char *fall_name(int i)
{
    return mr_fall_name((enum mr_fall)i);
}

void mr_sites_prometheus(const struct mr_engine *engine, FILE *to)
{
#define COUNTER(member) offsetof(struct mr_offload_counters, member)
    static const struct {
        const char *name, *help;
        size_t offset;
    } families[] = {
        {"batches", "batches given to the device, by site", COUNTER(batches)},
        {"messages", "messages in them", COUNTER(messages)},
        {"bytes", "bytes in them", COUNTER(bytes)},
        {"room_bytes", "bytes there was room for in them", COUNTER(fill_bytes)},
        {"age_ns", "age of the oldest message of each when it was closed, together",
         COUNTER(age_ns)},
        {"turn_ns", "time from closing to being done, together", COUNTER(turn_ns)},
        {"busy_ns", "of that on the device", COUNTER(device_ns)},
        {"kernel_ns", "of that in kernels", COUNTER(kernels_ns)},
        {"checked", "messages computed on the CPU as well", COUNTER(checked)},
        {"different", "differences between both", COUNTER(different)},
    };
    struct mr_site_figures f;

    if (!figures_of(engine, 0, &f))
        return;
    for (size_t i = 0; i < sizeof families / sizeof *families; i++) {
        char name[96];
        snprintf(name, sizeof name, "millrace_device_site_%s_total", families[i].name);
        put_family(engine, to, name, families[i].help, families[i].offset, 1, NULL, NULL);
    }
    put_family(engine, to, "millrace_device_site_closed_total", "batches closed, by reason",
               COUNTER(closes), MR_CLOSES, "reason", close_name);
    put_family(engine, to, "millrace_device_site_left_total", "messages left to the CPU, by reason",
               COUNTER(falls), MR_FALLS, "reason", fall_name);
#undef COUNTER
}
