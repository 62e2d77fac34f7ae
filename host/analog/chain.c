/* The chain of components: which predicates arrive where, which rules can ever be triggered, in
 * which order those of a component stand. A tuple that triggers no rule passes on; one that does
 * is used up, unless a later component asks for it whom no other tuple of that name reaches: there
 * the chain forks, and the tuple goes on to that component as well.
 */
#include "analog/diagnostic.h"

#include <string.h>

static bool triggers(const struct component *component, uint32_t predicate)
{
    for (const struct rule *rule = component->rules; rule; rule = rule->next)
        if (rule->trigger && rule->trigger->atom.predicate &&
            rule->trigger->atom.predicate->index == predicate)
            return true;
    return false;
}

static bool is_periodic(const struct predicate *predicate)
{
    return !strcmp(predicate->name, "periodic");
}

static bool usable(const struct rule *rule)
{
    return rule->trigger && rule->trigger->atom.predicate && rule->head.predicate;
}

/* What need not arrive: timers, and tables that have facts. */
static struct predicate_set own_events(const struct component *component)
{
    struct predicate_set present = component->arriving;

    for (const struct rule *rule = component->rules; rule; rule = rule->next) {
        const struct predicate *p = usable(rule) ? rule->trigger->atom.predicate : NULL;
        if (p && (is_periodic(p) || (p->table && p->table->n_facts)))
            add_to_set(&present, p->index);
    }
    return present;
}

/* Marks the rules that what arrives can trigger; gives all predicates that there are then. */
static struct predicate_set reach(struct component *component)
{
    struct predicate_set present = own_events(component);

    for (const struct rule *rule = component->rules; rule; rule = rule->next)
        if (rule->reached && !rule->deletes)
            add_to_set(&present, rule->head.predicate->index);
    for (bool progress = true; progress;) {
        progress = false;
        for (struct rule *rule = component->rules; rule; rule = rule->next) {
            if (rule->reached || !usable(rule) ||
                !in_set(&present, rule->trigger->atom.predicate->index))
                continue;
            rule->reached = progress = true;
            component->n_order++;
            if (!rule->deletes)
                add_to_set(&present, rule->head.predicate->index);
        }
    }
    return present;
}

/* The last component before `end` whose rules use the predicate up; NULL: there is none. */
static struct component *user(const struct compile *compile, const struct component *end,
                              const struct predicate *predicate)
{
    struct component *last = NULL;
    for (struct component *c = compile->program.components; c != end; c = c->next)
        for (const struct rule *rule = c->rules; rule && last != c; rule = rule->next)
            if (rule->reached && rule->trigger->atom.predicate == predicate)
                last = c;
    return last;
}

/* Forks: a rule that nothing triggers gets the tuples that an earlier component used up. Those of
 * the components in between do not ask for them. */
static bool fork_to(struct compile *compile, struct component *component)
{
    bool any = false;

    for (const struct rule *rule = component->rules; rule; rule = rule->next) {
        if (rule->reached || !usable(rule) ||
            in_set(&component->arriving, rule->trigger->atom.predicate->index))
            continue;
        const struct predicate *predicate = rule->trigger->atom.predicate;
        struct component *from = user(compile, component, predicate);
        if (!from || predicate->table || predicate->hidden || is_periodic(predicate))
            continue;
        add_to_set(&from->passes, predicate->index);
        for (struct component *c = from->next; c != component->next; c = c->next)
            add_to_set(&c->arriving, predicate->index);
        any = true;
    }
    return any;
}

/* What is in the set and triggers nothing here. Rows of tables go nowhere. */
static struct predicate_set leaving(const struct compile *compile,
                                    const struct component *component,
                                    const struct predicate_set *present)
{
    struct predicate_set out = {{0}};
    for (const struct predicate *p = compile->program.predicates; p; p = p->next)
        if (in_set(present, p->index) && !p->table && !triggers(component, p->index))
            add_to_set(&out, p->index);
    return out;
}

/* Deriving rules before those they trigger. Where every rule waits for another one the component
 * is recursive, and the first in the text goes first. */
static void order_rules(struct compile *compile, struct component *component)
{
    uint32_t pending[MAX_PREDICATES] = {0};
    uint32_t n = 0;

    component->order = analog_scratch(compile, (component->n_order + 1) * sizeof *component->order);
    bool *placed = analog_scratch(compile, component->n_rules + 1);
    if (!component->order || !placed)
        return;
    for (struct rule *rule = component->rules; rule; rule = rule->next)
        if (rule->reached)
            pending[rule->head.predicate->index] += !rule->deletes;
    while (n < component->n_order) {
        struct rule *chosen = NULL, *waiting = NULL;
        uint32_t i = 0, at = 0, waiting_at = 0;
        for (struct rule *rule = component->rules; rule && !chosen; rule = rule->next, i++) {
            if (!rule->reached || placed[i])
                continue;
            if (!pending[rule->trigger->atom.predicate->index]) {
                chosen = rule;
                at = i;
            } else if (!waiting) {
                waiting = rule;
                waiting_at = i;
            }
        }
        if (!chosen) {
            component->recursive = true;
            chosen = waiting;
            at = waiting_at;
        }
        if (!chosen)
            break; /* all are placed */
        placed[at] = true;
        pending[chosen->head.predicate->index] -= !chosen->deletes;
        component->order[n++] = chosen;
    }
}

/* ---- what is reported ---- */

static const struct key *key_of(const struct component *component,
                                const struct predicate *predicate)
{
    const struct key *key = component->keys;
    while (key && key->predicate != predicate)
        key = key->next;
    return key;
}

static bool has_unknown_key(const struct component *component)
{
    for (const struct key *key = component->keys; key; key = key->next)
        if (!key->predicate)
            return true;
    return false;
}

/* Every predicate that arrives and triggers a rule has a key; every key is of use. */
static void check_keys(struct compile *compile, struct component *component)
{
    if (component->kind != MR_STAGE_CONTEXT || component->broken || !component->keys ||
        has_unknown_key(component))
        return;
    for (const struct rule *rule = component->rules; rule; rule = rule->next) {
        const struct predicate *p = rule->trigger ? rule->trigger->atom.predicate : NULL;
        if (rule->reached && p && is_periodic(p)) {
            analog_error(compile, &rule->trigger->atom.where,
                         "periodic events need a serial component");
            analog_hint(compile, "write component %s(serial)", component->name);
            continue;
        }
        if (!rule->reached || !p || !in_set(&component->arriving, p->index) || key_of(component, p))
            continue;
        analog_error(compile, &rule->trigger->atom.where,
                     "%s comes into %s without a key, but triggers a rule", p->name,
                     component->name);
        analog_hint(compile, "add %s(NUMBER OF THE ATTRIBUTE) to context_keys in line %u", p->name,
                    component->where.line);
    }
    if (compile->incomplete)
        return;
    for (const struct key *key = component->keys; key; key = key->next) {
        if (triggers(component, key->predicate->index))
            continue;
        analog_warning(compile, &key->where, "this key is of no use: %s triggers no rule of %s",
                       key->name, component->name);
    }
}

/* The component behind `from` that derives the predicate. */
static const struct component *deriver(const struct component *from, uint32_t predicate)
{
    for (const struct component *c = from->next; c; c = c->next)
        for (const struct rule *rule = c->rules; rule; rule = rule->next)
            if (rule->head.predicate && rule->head.predicate->index == predicate)
                return c;
    return NULL;
}

/* A change of a table triggers rules of the component that makes it. */
static bool explain_table(struct compile *compile, const struct component *component,
                          const struct rule *rule)
{
    const struct predicate *table = rule->trigger->atom.predicate;

    for (const struct component *c = compile->program.components; c; c = c->next)
        for (const struct rule *r = c->rules; r; r = r->next) {
            if (c == component || r->head.predicate != table || r->deletes)
                continue;
            analog_error(compile, &rule->trigger->atom.where,
                         "changes of %s trigger rules in %s, which makes them, and not in %s",
                         table->name, c->name, component->name);
            analog_hint(compile, "move the rule into %s, or let an event trigger it", c->name);
            return true;
        }
    return false;
}

/* Why nothing triggers a rule; false: that only follows from another rule's fault. */
static bool explain_unreached(struct compile *compile, const struct component *component,
                              const struct rule *rule)
{
    const struct atom *atom = &rule->trigger->atom;
    const struct predicate *predicate = atom->predicate;
    const struct component *late = deriver(component, predicate->index);

    if (!predicate->derived) {
        struct nearest nearest = {.wanted = predicate->name};
        for (const struct predicate *p = compile->program.predicates; p; p = p->next)
            if (p->derived)
                analog_nearest(&nearest, p->name);
        analog_warning(compile, &atom->where, "no rule derives %s: this rule never fires",
                       predicate->name);
        if (nearest.name)
            analog_hint(compile, "did you mean %s?", nearest.name);
        return true;
    }
    if (late) {
        analog_warning(compile, &atom->where,
                       "%s is derived only later, by %s: this rule never fires", predicate->name,
                       late->name);
        analog_hint(compile, "components run in the order in which they are written");
    }
    return late != NULL;
}

static void check_reached(struct compile *compile)
{
    for (const struct component *c = compile->program.components; c; c = c->next)
        for (const struct rule *rule = c->rules; rule; rule = rule->next)
            if (!usable(rule))
                return; /* reported; who knows what it would do */
    for (struct component *c = compile->program.components; c; c = c->next) {
        bool explained = false;
        for (struct rule *rule = c->rules; rule; rule = rule->next) {
            if (rule->reached)
                continue;
            explained |= rule->trigger->atom.predicate->table ? explain_table(compile, c, rule)
                         : rule->trigger->atom.predicate->hidden
                             ? true /* follows from another rule */
                             : explain_unreached(compile, c, rule);
        }
        /* with errors, whoever derives what it waits for may be among them */
        if (c->n_rules && !c->n_order && !explained && !analog_failed(compile)) {
            analog_warning(compile, &c->where, "no tuple triggers a rule of %s", c->name);
            analog_hint(compile, "everything passes through it unchanged");
        }
    }
    if (compile->program.components && in_set(&compile->program.leaving, 0)) {
        analog_warning(compile, &compile->program.components->where,
                       "input triggers no rule: every packet becomes an event");
        analog_hint(compile, "a rule for packets is written p(@N, PKT) :- input(@N, PKT, _, _).");
    }
}

void analog_chain(struct compile *compile)
{
    struct predicate_set arriving = {{0}};

    if (!compile->program.receives)
        add_to_set(&arriving, 0); /* input */
    for (const struct receive *r = compile->program.receives; r; r = r->next)
        if (r->atom.predicate)
            add_to_set(&arriving, r->atom.predicate->index);
    for (struct component *c = compile->program.components; c; c = c->next) {
        c->arriving = arriving;
        struct predicate_set present = reach(c);
        while (fork_to(compile, c))
            present = reach(c);
        arriving = leaving(compile, c, &present);
        order_rules(compile, c);
        check_keys(compile, c);
    }
    /* what goes by its own time and facts need not look at packets */
    if (compile->program.periodic || compile->program.facts)
        arriving.words[0] &= ~(uint64_t)1;
    compile->program.leaving = arriving;
    for (const struct alarm *a = compile->program.alarms; a && !compile->incomplete; a = a->next) {
        const struct predicate *p = analog_find_predicate(compile, a->name);
        if (p && p->alarm && !in_set(&arriving, p->index))
            analog_warning(compile, &a->where,
                           "%s does not leave the program: this alarm is never raised", a->name);
    }
    analog_check_ships(compile);
    if (!compile->incomplete)
        analog_check_events(compile);
    if (!compile->incomplete)
        check_reached(compile);
}
