/* Prints the addresses of a name as this C library finds them, or why it finds none. */
#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
#include <sys/socket.h>

int main(int argc, char **argv)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *found;
	int error = argc == 2 ? getaddrinfo(argv[1], NULL, &hints, &found) : EAI_NONAME;
	if (error) {
		puts(gai_strerror(error));
		return 2;
	}
	for (; found; found = found->ai_next) {
		char text[INET6_ADDRSTRLEN];
		const void *address = found->ai_family == AF_INET
			? (const void *)&((struct sockaddr_in *)found->ai_addr)->sin_addr
			: (const void *)&((struct sockaddr_in6 *)found->ai_addr)->sin6_addr;
		puts(inet_ntop(found->ai_family, address, text, sizeof text));
	}
	return 0;
}
