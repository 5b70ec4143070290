/* The zygote: forks stems for its worker, and tells when one ends. */
#pragma once

/* Serve the control socket until it is closed. */
_Noreturn void zygote_main(int socket);
