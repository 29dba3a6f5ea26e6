// cp.async: copies that land, by configuration, when issued or only when waited for.
#pragma once

#include "language.h"

namespace emulator {

/** Checks both addresses; zeros, and the source unread, unless real. */
void asyncCopy(void* shared, const void* source, unsigned bytes, bool real);
void asyncCommit();
void asyncWait(unsigned groupsUnderWay);

}  // namespace emulator
