/* The table of all components: the one place where a component is named to the engine. */
#ifndef MR_COMPONENTS_TABLE_H
#define MR_COMPONENTS_TABLE_H

#include "millrace/component.h"

/* NULL-terminated; in the order in which `millrace components` lists them. */
extern const struct mr_component *const mr_components[];

#endif
