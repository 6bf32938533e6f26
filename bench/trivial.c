/* A program that does nothing: what exec_loop starts. */
int main(void)
{
	return 0;
}
