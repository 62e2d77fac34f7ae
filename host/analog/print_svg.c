/* `millrace explain --svg`: a plan as a drawing that needs no other program. Everything is drawn
 * from top to bottom; a first round without output finds out how large it becomes.
 */
#include "analog/print.h"

#include <stdarg.h>
#include <string.h>

#define LINE_BYTES  512
#define LINE_CHARS  104 /* longer lines are broken or cut */
#define CHAR_UNITS  73  /* width of a character, in tenths of a pixel, at 12 pixels */
#define LINE_PIXELS 17
#define MARGIN      24
#define PADDING     12
#define ARROW_X     90

struct canvas {
    FILE *to; /* NULL: measuring */
    int y;
    int width; /* of everything; found while measuring */
};

static void draw(const struct canvas *canvas, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void draw(const struct canvas *canvas, const char *format, ...)
{
    va_list args;

    if (!canvas->to)
        return;
    va_start(args, format);
    vfprintf(canvas->to, format, args);
    va_end(args);
}

static void widen(struct canvas *canvas, int right)
{
    if (!canvas->to && right + MARGIN > canvas->width)
        canvas->width = right + MARGIN;
}

static int pixels(size_t chars)
{
    return (int)(chars * CHAR_UNITS + 9) / 10;
}

/* One line of text, its left end (or, with anchor "end", its right one) at x. */
static void draw_text(struct canvas *canvas, int x, const char *class, const char *text)
{
    size_t len = strlen(text);

    widen(canvas, x + pixels(len));
    draw(canvas, "<text x=\"%d\" y=\"%d\" class=\"%s\">", x, canvas->y, class);
    for (size_t i = 0; canvas->to && i < len; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c == '<')
            fputs("&lt;", canvas->to);
        else if (c == '>')
            fputs("&gt;", canvas->to);
        else if (c == '&')
            fputs("&amp;", canvas->to);
        else
            fputc(c >= 0x20 && c < 0x7f ? c : '?', canvas->to);
    }
    draw(canvas, "</text>\n");
}

/* Several lines, broken behind commas and indented. */
static void draw_broken(struct canvas *canvas, int x, const char *class, const char *text)
{
    char line[LINE_CHARS + 1];
    int indent = 0;

    while (*text) {
        size_t room = (size_t)(LINE_CHARS - indent / 7), len = strlen(text);
        if (len > room) {
            len = room;
            while (len && text[len - 1] != ' ')
                len--;
            if (!len)
                len = room;
        }
        memcpy(line, text, len);
        line[len] = '\0';
        draw_text(canvas, x + indent, class, line);
        canvas->y += LINE_PIXELS;
        text += len;
        indent = 28;
    }
}

static void draw_op(struct canvas *canvas, const struct mr_plan *plan,
                    const struct mr_plan_rule *rule, const struct mr_op *op, int x)
{
    char line[LINE_BYTES];
    size_t used;

    analog_op_text(plan, rule, op, line, sizeof line);
    used = strlen(line);
    if (used > LINE_CHARS - 24) {
        used = LINE_CHARS - 24;
        memcpy(line + used - 3, "...", 4);
    }
    draw_text(canvas, x, op->kind == MR_OP_CALL ? "call" : "test", line);
    if (op->kind == MR_OP_CALL) {
        snprintf(line, sizeof line, "%.24s%s",
                 op->function->backends ? op->function->backends : "cpu",
                 op->function->order == MR_ORDER_CONTEXT ? ", state per key"
                 : op->function->order == MR_ORDER_TOTAL ? ", state over all"
                                                         : "");
        draw_text(canvas, x + pixels(used + 2), "note", line);
    }
    canvas->y += LINE_PIXELS;
}

/* What stands in the box of a component, from canvas->y on. */
static void draw_rules(struct canvas *canvas, const struct mr_plan *plan,
                       const struct mr_plan_stage *stage, int x)
{
    char line[LINE_BYTES], names[LINE_BYTES / 4];

    analog_programs_text(plan, stage->users, names, sizeof names);
    snprintf(line, sizeof line, "%s%s%s%s%s%s",
             stage->fork ? "each branch has its own tuples" : analog_kind_text(stage->kind),
             stage->one_at_a_time ? ", one key at a time" : "",
             stage->recursive ? ", recursive" : "", names[0] ? "  [" : "", names,
             names[0] ? "]" : "");
    draw_text(canvas, x, "name", stage->name);
    draw_text(canvas, x + pixels(strlen(stage->name) * 9 / 8 + 2), "note", line);
    canvas->y += LINE_PIXELS + 3;
    for (uint32_t r = 0; r < stage->n_rules; r++) {
        const struct mr_plan_rule *rule = &stage->rules[r];
        snprintf(line, sizeof line, "%s%s%s -> %s", rule->label, rule->label[0] ? ": " : "",
                 plan->predicates[rule->trigger].name, plan->predicates[rule->head].name);
        draw_text(canvas, x, "rule", line);
        canvas->y += LINE_PIXELS;
        for (uint32_t i = 0; i < rule->n_ops; i++)
            draw_op(canvas, plan, rule, &rule->ops[i], x + 24);
    }
    if (!stage->n_rules) {
        draw_text(canvas, x, "note", "everything passes through");
        canvas->y += LINE_PIXELS;
    }
}

static void draw_stage(struct canvas *canvas, const struct mr_plan *plan,
                       const struct mr_plan_stage *stage)
{
    struct canvas inside = {.y = 0, .width = canvas->width};
    int left = MARGIN + PADDING;

    draw_rules(&inside, plan, stage, left + PADDING);
    draw(canvas, "<rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" rx=\"5\" class=\"box\"/>\n",
         left, canvas->y, canvas->width - 2 * left, inside.y + 2 * PADDING);
    canvas->y += PADDING + 12;
    draw_rules(canvas, plan, stage, left + PADDING);
    widen(canvas, inside.width - MARGIN + PADDING);
    canvas->y += PADDING - 12;
}

/* An arrow down, beside it what flows along it. */
static void draw_arrow(struct canvas *canvas, const struct mr_plan *plan,
                       const struct predicate_set *set, uint32_t segment, const char *note)
{
    char line[LINE_BYTES];
    int top = canvas->y;

    canvas->y += 22;
    for (uint32_t p = 0; p < plan->n_predicates; p++) {
        if (!in_set(set, p) || (plan->predicates[p].segment != segment && segment != MR_NO_INDEX))
            continue;
        analog_predicate_text(&plan->predicates[p], true, line, sizeof line);
        draw_broken(canvas, ARROW_X + 16, "flow", line);
        memcpy(line, "dead: ", 6);
        analog_predicate_text(&plan->predicates[p], false, line + 6, sizeof line - 6);
        if (line[6])
            draw_broken(canvas, ARROW_X + 16, "dead", line);
    }
    if (note) {
        draw_text(canvas, ARROW_X + 16, "note", note);
        canvas->y += LINE_PIXELS;
    }
    canvas->y += 4;
    draw(canvas,
         "<path d=\"M %d %d V %d\" class=\"arrow\"/>\n"
         "<path d=\"M %d %d l -5 -9 h 10 z\" class=\"head\"/>\n",
         ARROW_X, top, canvas->y - 8, ARROW_X, canvas->y);
}

/* A frame around components that one worker runs in one go. */
static void draw_group(struct canvas *canvas, const struct mr_plan *plan, const struct flow *flow,
                       uint32_t index)
{
    static const char *const classes[] = {[MR_STAGE_PARALLEL] = "parallel",
                                          [MR_STAGE_CONTEXT] = "context",
                                          [MR_STAGE_SERIAL] = "serial"};
    const struct mr_plan_group *group = &plan->groups[index];
    char line[LINE_BYTES];
    size_t used;

    canvas->y += 20;
    used = (size_t)snprintf(line, sizeof line, "group %u: %s", index + 1,
                            analog_kind_text(group->kind));
    for (uint32_t k = 0; k < group->n_keys && used < LINE_CHARS - 40; k++)
        used += (size_t)snprintf(
            line + used, sizeof line - used, "%s%.60s", k ? ", " : " by ",
            plan->predicates[group->keys[k].predicate].attributes[group->keys[k].column].name);
    snprintf(line + used, sizeof line - used, "%s%s", group->one_at_a_time ? ", one at a time" : "",
             analog_n_components(plan, group) > 1 ? ", fused: one worker, one go" : "");
    draw_text(canvas, MARGIN + PADDING, classes[group->kind], line);
    canvas->y += 8;
    for (uint32_t s = 0; s < group->n_stages; s++) {
        if (s)
            draw_arrow(canvas, plan, &flow->before[group->first_stage + s],
                       plan->stages[group->first_stage + s].segment, NULL);
        draw_stage(canvas, plan, &plan->stages[group->first_stage + s]);
    }
    canvas->y += PADDING;
}

static void draw_end(struct canvas *canvas, const char *text)
{
    draw(canvas, "<rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"34\" rx=\"17\" class=\"end\"/>\n",
         MARGIN, canvas->y, pixels(strlen(text)) + 40);
    canvas->y += 21;
    draw_text(canvas, MARGIN + 20, "name", text);
    canvas->y += 13;
}

static void draw_plan(struct canvas *canvas, const struct mr_plan *plan, const struct flow *flow)
{
    static const char *const frames[] = {[MR_STAGE_PARALLEL] = "frame-parallel",
                                         [MR_STAGE_CONTEXT] = "frame-context",
                                         [MR_STAGE_SERIAL] = "frame-serial"};
    char line[LINE_BYTES];

    canvas->y = MARGIN + 12;
    snprintf(line, sizeof line, "%.80s: %u rules, %u components with packet capture", plan->name,
             plan->n_rules, plan->n_components);
    draw_text(canvas, MARGIN, "title", line);
    widen(canvas, MARGIN + pixels(strlen(line) * 5 / 4));
    canvas->y += 16;
    draw_end(canvas, "packet capture");
    for (uint32_t g = 0; g < plan->n_groups; g++) {
        struct canvas inside = {.width = canvas->width};
        uint32_t first = plan->groups[g].first_stage;
        draw_arrow(canvas, plan, &flow->before[first], plan->stages[first].segment,
                   plan->groups[g].parent != MR_NO_INDEX ? analog_split_text(plan, flow, g) : NULL);
        draw_group(&inside, plan, flow, g);
        draw(canvas, "<rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" rx=\"8\" class=\"%s\"/>\n",
             MARGIN, canvas->y, canvas->width - 2 * MARGIN, inside.y, frames[plan->groups[g].kind]);
        draw_group(canvas, plan, flow, g);
    }
    draw_arrow(canvas, plan, &flow->before[plan->n_stages], MR_NO_INDEX, NULL);
    draw_end(canvas, "events");
    canvas->y += MARGIN;
}

void mr_plan_print_svg(const struct mr_plan *plan, FILE *to)
{
    struct flow flow;
    struct canvas canvas = {.width = 480};

    analog_flow(plan, &flow);
    draw_plan(&canvas, plan, &flow);
    fprintf(to,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" "
            "viewBox=\"0 0 %d %d\">\n<style>\n",
            canvas.width, canvas.y, canvas.width, canvas.y);
    fputs("text{font:12px 'DejaVu Sans Mono',Menlo,Consolas,monospace;fill:#24292f}\n"
          ".title{font-size:15px;font-weight:bold}.name{font-weight:bold;font-size:13px}\n"
          ".rule{font-weight:bold}.test{fill:#8250df}.note{fill:#6e7781}.dead{fill:#8c959f}\n"
          ".flow{fill:#0a3069}.parallel{fill:#0550ae;font-weight:bold}\n"
          ".context{fill:#116329;font-weight:bold}.serial{fill:#953800;font-weight:bold}\n"
          ".box{fill:#fff;stroke:#8c959f}.end{fill:#f6f8fa;stroke:#57606a}\n"
          ".frame-parallel{fill:#eaf2fd;stroke:#54aeff}.frame-context{fill:#e9f7ec;"
          "stroke:#4ac26b}\n.frame-serial{fill:#fff4e8;stroke:#fb8f44}\n"
          ".arrow{stroke:#57606a;stroke-width:1.5;fill:none}.head{fill:#57606a}\n</style>\n",
          to);
    fprintf(to, "<rect width=\"%d\" height=\"%d\" fill=\"#fff\"/>\n", canvas.width, canvas.y);
    canvas.to = to;
    draw_plan(&canvas, plan, &flow);
    fputs("</svg>\n", to);
}
