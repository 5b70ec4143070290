/* LOAD: a bundle, or one configuration file, becomes a manifest. */
#pragma once

#include "cell/vm.h"

/* Compile and load what the payload of a LOAD says; the answer's payload goes into out. Returns FRAME_MANIFEST or FRAME_ERROR.
 * Afterwards the vm is frozen and cells may be forked (not in mode "config", nor after an error). */
enum frame_type load_bundle(struct vm *vm, struct str payload, struct buf *out);
