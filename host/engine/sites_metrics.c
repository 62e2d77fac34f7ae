/* What sites count, under the names of metrics/counters.def. */
#include "engine/report.h"
#include "engine/sites.h"

void mr_site_count(const struct mr_site *site, struct mr_offload_counters *sum)
{
    struct mr_offload_counters own;

    struct mr_offload *offload = atomic_load(&site->offload);

    sum->troubles[MR_TROUBLE_OPEN] += atomic_load(&site->open_failures);
    sum->reopened += atomic_load(&site->opened_late);
    if (!offload)
        return;
    mr_offload_count(offload, &own);
    mr_offload_sum(sum, &own);
}

struct mr_sites *mr_sites_install(struct mr_engine *engine, struct mr_sites *sites)
{
    struct mr_sites *before = engine->sites;

    /* at once: closing them may take seconds, and counters never go back */
    for (uint32_t i = 0; before && i < before->n; i++)
        if (before->list[i]->owners == 1)
            mr_site_count(before->list[i], &engine->past_offload);
    engine->sites = sites;
    return before;
}

void mr_sites_metrics(struct mr_engine *engine, struct mr_metrics *metrics)
{
    struct mr_offload_counters c;

    c = engine->past_offload;
    for (uint32_t i = 0; engine->sites && i < engine->sites->n; i++)
        mr_site_count(engine->sites->list[i], &c);
    const struct {
        enum mr_counter counter;
        uint64_t value;
    } values[] = {{MR_COUNT_DEVICE_BATCHES, c.batches},
                  {MR_COUNT_DEVICE_MESSAGES, c.messages},
                  {MR_COUNT_DEVICE_BYTES, c.bytes},
                  {MR_COUNT_DEVICE_ROOM_BYTES, c.fill_bytes},
                  {MR_COUNT_DEVICE_CLOSED_BYTES, c.closes[MR_CLOSE_BYTES]},
                  {MR_COUNT_DEVICE_CLOSED_MESSAGES, c.closes[MR_CLOSE_MESSAGES]},
                  {MR_COUNT_DEVICE_CLOSED_AGE, c.closes[MR_CLOSE_AGE]},
                  {MR_COUNT_DEVICE_CLOSED_FLUSH, c.closes[MR_CLOSE_FLUSH]},
                  {MR_COUNT_DEVICE_AGE_NS, c.age_ns},
                  {MR_COUNT_DEVICE_AGE_MAX_NS, c.age_max_ns},
                  {MR_COUNT_DEVICE_TURN_NS, c.turn_ns},
                  {MR_COUNT_DEVICE_COPY_NS, c.device_ns - c.kernels_ns},
                  {MR_COUNT_DEVICE_KERNEL_NS, c.kernels_ns},
                  {MR_COUNT_DEVICE_NO_SLOT, c.falls[MR_FALL_NO_SLOT]},
                  {MR_COUNT_DEVICE_TOO_LONG, c.falls[MR_FALL_TOO_LONG]},
                  {MR_COUNT_DEVICE_DOWN, c.falls[MR_FALL_DOWN]},
                  {MR_COUNT_DEVICE_FAILED, c.falls[MR_FALL_FAILED]},
                  {MR_COUNT_DEVICE_LATE, c.falls[MR_FALL_LATE]},
                  {MR_COUNT_DEVICE_OVERFLOW, c.falls[MR_FALL_OVERFLOW]},
                  {MR_COUNT_DEVICE_OPEN_FAILED, c.troubles[MR_TROUBLE_OPEN]},
                  {MR_COUNT_DEVICE_LAUNCH_FAILED, c.troubles[MR_TROUBLE_LAUNCH]},
                  {MR_COUNT_DEVICE_LOST, c.troubles[MR_TROUBLE_LOST]},
                  {MR_COUNT_DEVICE_LATE_BATCHES, c.troubles[MR_TROUBLE_LATE]},
                  {MR_COUNT_DEVICE_REOPENED, c.reopened},
                  {MR_COUNT_DEVICE_CHECKED, c.checked},
                  {MR_COUNT_DEVICE_DIFFERENT, c.different},
                  {MR_COUNT_DEVICE_DEMOTED, c.demoted}};

    for (size_t i = 0; i < sizeof values / sizeof *values; i++)
        mr_metrics_add(metrics, values[i].counter, values[i].value);
}

uint64_t mr_sites_memory(const struct mr_engine *engine)
{
    uint64_t bytes = 0;

    for (uint32_t i = 0; engine->sites && i < engine->sites->n; i++)
        if (engine->sites->list[i]->offload)
            bytes += mr_offload_memory(engine->sites->list[i]->offload);
    return bytes;
}

/* ---- for people ---- */

static double share(uint64_t part, uint64_t all)
{
    return all ? 100 * (double)part / (double)all : 0;
}

static double mean_us(uint64_t ns, uint64_t n)
{
    return n ? (double)ns / (double)n / 1e3 : 0;
}

void mr_sites_print(const struct mr_engine *engine, FILE *to)
{
    const char *end = "";

    if (engine->device.wish == MR_DEVICE_CPU || !engine->plan->n_sites)
        return;
    if (!engine->device.backend) {
        fprintf(to, "device      cpu; %s\n", engine->device.why);
        return;
    }
    fprintf(to, "device      %s", engine->device.backend->name);
    for (uint32_t i = 0; engine->sites && i < engine->sites->n; i++) {
        const struct mr_site *site = engine->sites->list[i];
        fprintf(to, "%s%s", i ? "; " : ", ", site->name);
        end = ", ";
        if (!atomic_load(&site->offload)) {
            fprintf(to, ": on the CPU");
            continue;
        }
        fprintf(to, ": %u patterns", site->set.n);
        if (site->work.n_models)
            fprintf(to, ", %u models", site->work.n_models);
        if (site->set.table)
            fprintf(to, ", %s in %.2f s, %.2f MB; %u texts checked, %u patterns differ",
                    site->cached.loaded ? "from the cache" : "compiled",
                    (double)site->set.compile_ns * 1e-9,
                    (double)(site->set.table->bytes + site->set.factors->bytes +
                             site->set.factors_3->bytes) *
                        1e-6,
                    (unsigned)site->checked.texts, site->checked.demoted);
    }
    fprintf(to, "%s\n", *end ? "" : ", nothing for it to do");
}

void mr_sites_print_work(const struct mr_engine *engine, FILE *to)
{
    static const struct {
        enum mr_counter counter;
        const char *what;
    } falls[] = {{MR_COUNT_DEVICE_NO_SLOT, "no slot"},  {MR_COUNT_DEVICE_TOO_LONG, "too long"},
                 {MR_COUNT_DEVICE_DOWN, "device down"}, {MR_COUNT_DEVICE_FAILED, "batch failed"},
                 {MR_COUNT_DEVICE_LATE, "late"},        {MR_COUNT_DEVICE_OVERFLOW, "overflow"}};
#define COUNT(name) (mr_report_counter(engine, MR_COUNT_DEVICE_##name))
    uint64_t batches = COUNT(BATCHES), turn = COUNT(TURN_NS);
    const char *before = "            back to the CPU: ";

    if (!engine->device.backend || !engine->plan->n_sites)
        return;
    fprintf(to,
            "            %llu batches, %llu messages, %.1f MB; %.0f %% full; closed %llu full, "
            "%llu by age\n",
            (unsigned long long)batches, (unsigned long long)COUNT(MESSAGES),
            (double)COUNT(BYTES) / 1e6, share(COUNT(BYTES), COUNT(ROOM_BYTES)),
            (unsigned long long)(COUNT(CLOSED_BYTES) + COUNT(CLOSED_MESSAGES)),
            (unsigned long long)COUNT(CLOSED_AGE));
    if (batches)
        fprintf(to,
                "            a batch: %.0f us old when closed, back after %.0f us: copies %.0f us, "
                "kernels %.0f us\n",
                mean_us(COUNT(AGE_NS), batches), mean_us(turn, batches),
                mean_us(COUNT(COPY_NS), batches), mean_us(COUNT(KERNEL_NS), batches));
    for (size_t i = 0; i < sizeof falls / sizeof *falls; i++) {
        uint64_t n = mr_report_counter(engine, falls[i].counter);
        if (n)
            fprintf(to, "%s%llu %s", before, (unsigned long long)n, falls[i].what);
        before = n ? ", " : before;
    }
    if (before[0] == ',')
        fputc('\n', to);
    if (COUNT(OPEN_FAILED) + COUNT(LAUNCH_FAILED) + COUNT(LOST) + COUNT(LATE_BATCHES))
        fprintf(to,
                "            failures: %llu opening, %llu launching, %llu lost, %llu late; opened "
                "anew %llu times\n",
                (unsigned long long)COUNT(OPEN_FAILED), (unsigned long long)COUNT(LAUNCH_FAILED),
                (unsigned long long)COUNT(LOST), (unsigned long long)COUNT(LATE_BATCHES),
                (unsigned long long)COUNT(REOPENED));
    fprintf(to, "            %llu messages checked on the CPU: %llu differences\n",
            (unsigned long long)COUNT(CHECKED), (unsigned long long)COUNT(DIFFERENT));
#undef COUNT
}
