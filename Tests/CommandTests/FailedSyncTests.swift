import Testing

@Suite("A sync that fails")
struct FailedSyncTests {
    /// Eight threads sync one file twenty times each; prints how many were told EIO.
    private static let program = """
        #include <errno.h>
        #include <fcntl.h>
        #include <pthread.h>
        #include <stdio.h>
        #include <unistd.h>

        static int fd, told;

        static void *work(void *argument)
        {
            for (int turn = 0; turn < 20; turn++)
                if (fsync(fd) == -1 && errno == EIO)
                    __atomic_add_fetch(&told, 1, __ATOMIC_RELAXED);
            return argument;
        }

        int main(int count, char **arguments)
        {
            pthread_t threads[8];

            fd = open(arguments[count - 1], O_RDWR | O_CREAT, 0600);
            for (int i = 0; i < 8; i++)
                pthread_create(&threads[i], NULL, work, NULL);
            for (int i = 0; i < 8; i++)
                pthread_join(threads[i], NULL);
            printf("%d\\n", told);
            return 0;
        }
        """

    @Test("Every caller of a shared sync is told", arguments: ["uring", "plain"])
    func everyCaller(_ backend: String) throws {
        if lacksCompiler() { return }
        let scratch = try Scratch()
        let program = try scratch.compile(Self.program, ["-pthread"])
        for (fault, told) in [("fault=errno:5@1,", "160\n"), ("", "0\n")] {
            let outcome = try scratch.run(
                program, [scratch.path + "/file"],
                [
                    "LD_PRELOAD": builtLibrary, "IOTRAP_MODE": "force",
                    "IOTRAP_SET": fault + "backend=" + backend,
                ])
            #expect(outcome.output == told, "\(outcome.errors)")
        }
    }
}
