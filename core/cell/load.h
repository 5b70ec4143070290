/* LOAD: a bundle, or one configuration file, becomes a manifest. */
#pragma once

#include "cell/vm.h"

/* Compile and load what the payload of a LOAD says; the answer's payload goes into out. Returns FRAME_MANIFEST or FRAME_ERROR.
 * After a manifest comes load_prepare, then cells may be forked. */
enum frame_type load_bundle(struct vm *vm, struct str payload, struct buf *out);

/* Let the runtime make what all runs share (registry.before_runs), then freeze the vm. False when that failed or took too long. */
bool load_prepare(struct vm *vm);
