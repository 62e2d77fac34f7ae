/* All components of this folder; the engine puts its own (packet, tcp) beside them. */
#include "components/table.h"

extern const struct mr_component mr_component_bypass;
extern const struct mr_component mr_component_detector;
extern const struct mr_component mr_component_flow_count;
extern const struct mr_component mr_component_mime;
extern const struct mr_component mr_component_smtp;
extern const struct mr_component mr_component_values;
#ifdef MR_HAVE_HYPERSCAN
extern const struct mr_component mr_component_match;
#endif

const struct mr_component *const mr_components[] = {
    &mr_component_bypass,
    &mr_component_detector,
    &mr_component_flow_count,
    &mr_component_mime,
    &mr_component_smtp,
    &mr_component_values,
#ifdef MR_HAVE_HYPERSCAN
    &mr_component_match,
#endif
    NULL,
};
