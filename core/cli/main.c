#include <stdio.h>
int main(void)
{
	puts("perigee " PERIGEE_VERSION);
	return 0;
}
