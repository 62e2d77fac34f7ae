/* A table of components to compile ANALOG programs against: signatures of the engine's functions
 * and some that only tests need. Nothing in it can be called.
 */
#ifndef MR_TEST_ANALOG_MOCK_H
#define MR_TEST_ANALOG_MOCK_H

#include "millrace/component.h"

/* stream, smtp, match; sip; dos; odd ones. The first n of them make a table. */
#define MOCK_ENGINE 1
#define MOCK_SIP    2
#define MOCK_DOS    3
#define MOCK_ALL    4
extern const struct mr_component *const mock_components[MOCK_ALL];

/* bind() less unbind() calls so far: zero when nothing leaked. */
extern int mock_bound;

#endif
