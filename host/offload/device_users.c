/* Who has something on a device of the process, and whether it has failed. The runtime of a device
 * has one state for the whole process, and so has this. */
#include "offload/device_parts.h"

#include <pthread.h>

#define DEVICES 2 /* runtimes that a build may have */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct mr_device_users all[DEVICES];

/* Under the lock. */
static struct mr_device_users *users_of(const struct mr_device *device)
{
    struct mr_device_users *users = all;

    while (users < all + DEVICES - 1 && users->name && users->name != device->name)
        users++;
    users->name = device->name;
    return users;
}

struct mr_device_users *mr_device_enter(const struct mr_device *device, bool *hangs)
{
    pthread_mutex_lock(&lock);
    struct mr_device_users *users = users_of(device);
    *hangs = atomic_load(&users->hangs);
    if (*hangs || atomic_load(&users->failed))
        users = NULL;
    else
        users->n++;
    pthread_mutex_unlock(&lock);
    return users;
}

void mr_device_forsake(struct mr_device_users *users)
{
    atomic_store(&users->hangs, true);
}

void mr_devices_forsake(void)
{
    for (struct mr_device_users *users = all; users < all + DEVICES; users++)
        atomic_store(&users->hangs, true);
}

bool mr_devices_hang(void)
{
    for (const struct mr_device_users *users = all; users < all + DEVICES; users++)
        if (atomic_load(&users->hangs))
            return true;
    return false;
}

void mr_device_leave(struct mr_device_users *users, const struct mr_device *device, int which)
{
    pthread_mutex_lock(&lock);
    if (!--users->n && atomic_load(&users->failed)) {
        (void)device->use(which); /* says that it has failed */
        (void)device->reset();    /* where that does not help, the next one to open it is told */
        atomic_store(&users->failed, false);
    }
    pthread_mutex_unlock(&lock);
}
