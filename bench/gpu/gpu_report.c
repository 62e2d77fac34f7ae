/* Puts together what scripts/run-gpu-checks left behind: one JSON file, and the same for people.
 *
 * usage: gpu_report FOLDER GPU SENTENCE
 *   FOLDER     holds status.tsv (part, exit code, seconds; a line each) and for parts that measure
 *              PART.json; gets report.json and report.md
 *   GPU        its name; "" when there is none: then all aims are "not measured"
 *   SENTENCE   what is to be said first
 * Exit codes: 0 all parts succeeded, 1 usage, 2 a part failed, 4 a report cannot be written.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yajl/yajl_gen.h>
#include <yajl/yajl_tree.h>

#define MAX_PARTS  64
#define LONGEST    ((size_t)1 << 20) /* of a part's JSON */
#define TIMED_OUT  124
#define NOT_HERE   77
#define NAME_BYTES 64
#define AIMS       7

struct part {
    char name[NAME_BYTES];
    int code;
    double seconds;
    char *text;       /* its JSON, or NULL */
    yajl_val results; /* the same */
};

struct report {
    const char *folder, *gpu, *sentence;
    struct part parts[MAX_PARTS];
    size_t n_parts;
    bool failed;
};

static FILE *open_in(const char *folder, const char *name, const char *more, const char *mode)
{
    char path[4096];

    snprintf(path, sizeof path, "%s/%s%s", folder, name, more);
    return fopen(path, mode);
}

/* ---- reading ---- */

static void read_results(const struct report *r, struct part *part)
{
    char error[256];
    FILE *file = open_in(r->folder, part->name, ".json", "re");
    size_t n = 0;

    part->text = file ? malloc(LONGEST) : NULL;
    if (part->text)
        n = fread(part->text, 1, LONGEST - 1, file);
    if (file)
        fclose(file);
    if (!part->text)
        return;
    part->text[n] = '\0';
    part->results = yajl_tree_parse(part->text, error, sizeof error);
    if (!part->results) { /* cut off */
        free(part->text);
        part->text = NULL;
    }
}

static bool read_parts(struct report *r)
{
    FILE *file = open_in(r->folder, "status", ".tsv", "re");
    char line[512];

    while (file && r->n_parts < MAX_PARTS && fgets(line, sizeof line, file)) {
        struct part *part = &r->parts[r->n_parts];
        char *code = strchr(line, '\t'), *end;
        if (!code || code - line >= NAME_BYTES)
            continue;
        *code++ = '\0';
        strcpy(part->name, line);
        part->code = (int)strtol(code, &end, 10);
        part->seconds = strtod(end, NULL);
        read_results(r, part);
        r->failed |= part->code && part->code != NOT_HERE;
        r->n_parts++;
    }
    if (file)
        fclose(file);
    return file != NULL;
}

static double figure(const struct report *r, const char *part, const char *path)
{
    char copy[256], *rest = copy;
    yajl_val at = NULL;

    snprintf(copy, sizeof copy, "%s", path);
    for (size_t i = 0; i < r->n_parts; i++)
        if (!strcmp(r->parts[i].name, part) && !r->parts[i].code)
            at = r->parts[i].results;
    for (char *name; at && (name = strsep(&rest, "/")) != NULL;) {
        const char *one[] = {name, NULL};
        at = yajl_tree_get(at, one, yajl_t_any);
    }
    return at && YAJL_IS_NUMBER(at) ? YAJL_GET_DOUBLE(at) : 0;
}

/* The largest of a member of the objects in an array. */
static double largest(const struct report *r, const char *part, const char *array, const char *name)
{
    const char *path[] = {part, array, NULL}, *member[] = {name, NULL};
    double best = 0;

    for (size_t i = 0; i < r->n_parts; i++) {
        yajl_val list = !strcmp(r->parts[i].name, part) && !r->parts[i].code
                            ? yajl_tree_get(r->parts[i].results, path, yajl_t_array)
                            : NULL;
        for (size_t k = 0; list && k < YAJL_GET_ARRAY(list)->len; k++) {
            yajl_val value = yajl_tree_get(YAJL_GET_ARRAY(list)->values[k], member, yajl_t_number);
            if (value && YAJL_GET_DOUBLE(value) > best)
                best = YAJL_GET_DOUBLE(value);
        }
    }
    return best;
}

/* ---- aims ---- */

struct aim {
    const char *text;
    double value, bound; /* value 0: not measured */
    bool at_most;
    double alone; /* the same with batches that are filled already; 0: there is no such thing */
};

static double over(double part, double all)
{
    return all > 0 ? part / all : 0;
}

static struct aim latency_of(const struct report *r, const char *part, const char *text)
{
    double deadline = figure(r, part, "latency/deadline_us");

    return (struct aim){text, figure(r, part, "latency/p99_us"), deadline > 0 ? deadline : 2000,
                        true, 0};
}

static size_t aims_of(const struct report *r, struct aim aims[AIMS])
{
    double pcre = figure(r, "flow-pcre-1200", "flow/callers/gbit_per_s");
    double pcre_alone = figure(r, "flow-pcre-1200", "flow/best_gbit_per_s");
    double cpu =
        figure(r, "cpu-pcre-1200", "stage_gbit_per_core") * figure(r, "cpu-pcre-1200", "threads");
    double in = largest(r, "micro", "copies", "in") * 8;
    double literal = figure(r, "flow-literal-5000", "flow/callers/gbit_per_s");
    double literal_alone = figure(r, "flow-literal-5000", "flow/best_gbit_per_s");

    aims[0] = (struct aim){"1,200 PCREs: Gbit/s, with assembling and copies", pcre, 100, false,
                           pcre_alone};
    aims[1] = (struct aim){"1,200 PCREs: times CPU-only mode with all cores", over(pcre, cpu), 5,
                           false, over(pcre_alone, cpu)};
    aims[2] = (struct aim){"5,000 literals: share of the host-to-device bandwidth",
                           over(literal_alone, in), 0.8, false, over(literal_alone, in)};
    aims[3] = (struct aim){"5,000 literals: the same with assembling", over(literal, in), 0.8,
                           false, over(literal_alone, in)};
    aims[4] = latency_of(r, "latency-pcre-1200", "1,200 PCREs: p99 at half load, microseconds");
    aims[5] =
        latency_of(r, "latency-literal-5000", "5,000 literals: p99 at half load, microseconds");
    aims[6] = (struct aim){"spam: mails scored, times CPU-only mode with all cores",
                           figure(r, "score", "score/times_host"), 20, false, 0};
    return AIMS;
}

static const char *state_of(const struct report *r, const struct aim *aim)
{
    if (!*r->gpu || aim->value <= 0)
        return "not measured";
    return (aim->at_most ? aim->value <= aim->bound : aim->value >= aim->bound) ? "met" : "missed";
}

static const char *part_state(const struct part *part)
{
    return part->code == TIMED_OUT  ? "out of time"
           : part->code == NOT_HERE ? "not here"
           : part->code             ? "failed"
                                    : "passed";
}

/* ---- writing ---- */

static void put(yajl_gen g, const char *text)
{
    yajl_gen_string(g, (const unsigned char *)text, strlen(text));
}

static void put_aims(const struct report *r, yajl_gen g)
{
    struct aim aims[AIMS];
    size_t n = aims_of(r, aims);

    put(g, "aims");
    yajl_gen_array_open(g);
    for (size_t i = 0; i < n; i++) {
        yajl_gen_map_open(g);
        put(g, "aim");
        put(g, aims[i].text);
        put(g, "bound");
        yajl_gen_double(g, aims[i].bound);
        put(g, "value");
        if (*r->gpu && aims[i].value > 0)
            yajl_gen_double(g, aims[i].value);
        else
            put(g, "not measured");
        put(g, "state");
        put(g, state_of(r, &aims[i]));
        put(g, "device_alone");
        if (*r->gpu && aims[i].alone > 0)
            yajl_gen_double(g, aims[i].alone);
        else
            yajl_gen_null(g);
        yajl_gen_map_close(g);
    }
    yajl_gen_array_close(g);
}

static void put_part(const struct part *part, yajl_gen g)
{
    put(g, part->name);
    yajl_gen_map_open(g);
    put(g, "state");
    put(g, part_state(part));
    put(g, "exit_code");
    yajl_gen_integer(g, part->code);
    put(g, "seconds");
    yajl_gen_double(g, part->seconds);
    put(g, "results");
    if (part->text)
        yajl_gen_number(g, part->text, strlen(part->text)); /* as it is */
    else
        yajl_gen_null(g);
    yajl_gen_map_close(g);
}

/* Under another name first: whoever is interrupted leaves the report before. */
static FILE *open_report(const struct report *r, const char *more)
{
    return open_in(r->folder, "new-report", more, "we");
}

static bool close_report(const struct report *r, const char *more, FILE *file)
{
    char from[4096], to[4096];

    snprintf(from, sizeof from, "%s/new-report%s", r->folder, more);
    snprintf(to, sizeof to, "%s/report%s", r->folder, more);
    bool good = !ferror(file);
    return !fclose(file) && good && !rename(from, to);
}

static bool write_json(const struct report *r)
{
    FILE *to = open_report(r, ".json");
    yajl_gen g = yajl_gen_alloc(NULL);
    const unsigned char *text;
    size_t len;

    if (!to || !g)
        return false;
    yajl_gen_config(g, yajl_gen_beautify, 1);
    yajl_gen_map_open(g);
    put(g, "measured");
    yajl_gen_bool(g, *r->gpu != '\0');
    put(g, "gpu");
    if (*r->gpu)
        put(g, r->gpu);
    else
        yajl_gen_null(g);
    put(g, "summary");
    put(g, r->sentence);
    put_aims(r, g);
    put(g, "parts");
    yajl_gen_map_open(g);
    for (size_t i = 0; i < r->n_parts; i++)
        put_part(&r->parts[i], g);
    yajl_gen_map_close(g);
    yajl_gen_map_close(g);
    yajl_gen_get_buf(g, &text, &len);
    bool good = fwrite(text, 1, len, to) == len;
    yajl_gen_free(g);
    return close_report(r, ".json", to) && good;
}

static void print_value(FILE *to, yajl_val value)
{
    const char *text = YAJL_IS_NUMBER(value)   ? YAJL_GET_NUMBER(value)
                       : YAJL_IS_STRING(value) ? YAJL_GET_STRING(value)
                       : YAJL_IS_TRUE(value)   ? "yes"
                       : YAJL_IS_FALSE(value)  ? "no"
                                               : "-";

    fprintf(to, "%s", text ? text : "-");
}

/* An array of flat objects as a table. */
static void print_table(FILE *to, yajl_val list)
{
    for (size_t row = 0; row < YAJL_GET_ARRAY(list)->len; row++) {
        yajl_val one = YAJL_GET_ARRAY(list)->values[row];
        if (!YAJL_IS_OBJECT(one))
            continue;
        for (int head = row == 0 ? 0 : 2; head < 3; head++) {
            for (size_t i = 0; i < YAJL_GET_OBJECT(one)->len; i++) {
                fprintf(to, "%s", head == 1 ? "|---" : "| ");
                if (head == 0)
                    fprintf(to, "%s ", YAJL_GET_OBJECT(one)->keys[i]);
                else if (head == 2)
                    print_value(to, YAJL_GET_OBJECT(one)->values[i]);
                fprintf(to, "%s", head == 2 ? " " : "");
            }
            fprintf(to, "|\n");
        }
    }
    fprintf(to, "\n");
}

/* Members that are values first, on one line; then what is deeper, each under its name. */
static void print_object(FILE *to, const char *name, yajl_val object)
{
    size_t told = 0;

    for (size_t i = 0; i < YAJL_GET_OBJECT(object)->len; i++) {
        yajl_val value = YAJL_GET_OBJECT(object)->values[i];
        if (YAJL_IS_OBJECT(value) || YAJL_IS_ARRAY(value))
            continue;
        fprintf(to, "%s%s%s%s ", told ? ", " : "- ", told ? "" : name, told || !*name ? "" : ": ",
                YAJL_GET_OBJECT(object)->keys[i]);
        print_value(to, value);
        told++;
    }
    fprintf(to, "%s", told ? "\n" : "");
    for (size_t i = 0; i < YAJL_GET_OBJECT(object)->len; i++) {
        const char *key = YAJL_GET_OBJECT(object)->keys[i];
        yajl_val value = YAJL_GET_OBJECT(object)->values[i];
        char path[256];
        snprintf(path, sizeof path, "%s%s%s", name, *name ? ", " : "", key);
        if (YAJL_IS_OBJECT(value)) {
            print_object(to, path, value);
        } else if (YAJL_IS_ARRAY(value)) {
            fprintf(to, "\n%s:\n\n", path);
            print_table(to, value);
        }
    }
}

static bool write_text(const struct report *r)
{
    FILE *to = open_report(r, ".md");
    struct aim aims[AIMS];
    size_t n = aims_of(r, aims);

    if (!to)
        return false;
    fprintf(to,
            "# GPU checks\n\n%s\n\nGPU: %s\n\n| aim | bound | value | | batches filled "
            "before |\n|---|---|---|---|---|\n",
            r->sentence, *r->gpu ? r->gpu : "none; what follows was not measured on one");
    for (size_t i = 0; i < n; i++) {
        char value[32] = "not measured", alone[32] = "";
        if (*r->gpu && aims[i].value > 0)
            snprintf(value, sizeof value, "%.2f", aims[i].value);
        if (*r->gpu && aims[i].alone > 0)
            snprintf(alone, sizeof alone, "%.2f", aims[i].alone);
        fprintf(to, "| %s | %s %g | %s | %s | %s |\n", aims[i].text,
                aims[i].at_most ? "at most" : "at least", aims[i].bound, value,
                state_of(r, &aims[i]), alone);
    }
    fprintf(to, "\n| part | | seconds |\n|---|---|---|\n");
    for (size_t i = 0; i < r->n_parts; i++)
        fprintf(to, "| %s | %s | %.1f |\n", r->parts[i].name, part_state(&r->parts[i]),
                r->parts[i].seconds);
    for (size_t i = 0; i < r->n_parts; i++) {
        if (!r->parts[i].results || !YAJL_IS_OBJECT(r->parts[i].results))
            continue;
        fprintf(to, "\n## %s\n\n", r->parts[i].name);
        print_object(to, "", r->parts[i].results);
    }
    return close_report(r, ".md", to);
}

int main(int argc, char **argv)
{
    static struct report r;

    if (argc != 4) {
        fprintf(stderr, "usage: gpu_report FOLDER GPU SENTENCE\n");
        return 1;
    }
    r.folder = argv[1];
    r.gpu = argv[2];
    r.sentence = argv[3];
    int code = read_parts(&r) && write_json(&r) && write_text(&r) ? r.failed ? 2 : 0 : 4;
    if (code == 4)
        fprintf(stderr, "gpu_report: %s: reports cannot be written\n", r.folder);
    for (size_t i = 0; i < r.n_parts; i++) {
        yajl_tree_free(r.parts[i].results);
        free(r.parts[i].text);
    }
    return code;
}
