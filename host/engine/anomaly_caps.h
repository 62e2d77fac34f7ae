/* How often functions without a state for each flow (in parallel components) have told an anomaly
 * of one flow. Asked in the output turn, where records come in the order of the packets: so what is
 * held back does not depend on who found it. The flows asked about last are known, 32,768 of them.
 */
#ifndef MR_ENGINE_ANOMALY_CAPS_H
#define MR_ENGINE_ANOMALY_CAPS_H

#include <stdbool.h>
#include <stdint.h>

#define MR_MAX_ANOMALIES     16u /* of one function in one flow */
#define MR_ANOMALY_KEY_BYTES 16u

struct mr_anomaly_caps;

struct mr_anomaly_caps *mr_anomaly_caps_new(void); /* NULL: no memory */
void mr_anomaly_caps_free(struct mr_anomaly_caps *caps);

/* One more; false: there were MR_MAX_ANOMALIES under this key (a hash of flow and function). */
bool mr_anomaly_caps_admit(struct mr_anomaly_caps *caps, const uint8_t key[MR_ANOMALY_KEY_BYTES]);

#endif
