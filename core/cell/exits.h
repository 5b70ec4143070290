/* How the processes of perigee-cell end when they cannot say why in a frame. The host reads these from EXITED and GONE. */
#pragma once

enum cell_exit {
	EXIT_DONE = 0,      /* a last frame was sent, or the host closed the channel */
	EXIT_JAIL = 71,     /* a part of the jail is missing */
	EXIT_CPU = 72,      /* over the CPU budget inside C code, where no hook is heard */
	EXIT_PROTOCOL = 73, /* the host sent something that the frame table does not allow here */
	EXIT_IO = 74,       /* the channel failed */
};
