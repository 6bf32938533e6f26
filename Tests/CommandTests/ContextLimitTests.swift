import Foundation
import Testing

@Suite("libaio beyond /proc/sys/fs/aio-max-nr")
struct ContextLimitTests {
    /// Makes six contexts of more events than the kernel has for all processes together, which it
    /// therefore refuses without using any of them up, and does I/O on all six at once.
    private static let program = """
        #define _GNU_SOURCE
        #include <errno.h>
        #include <fcntl.h>
        #include <linux/aio_abi.h>
        #include <stdio.h>
        #include <stdlib.h>
        #include <string.h>
        #include <sys/syscall.h>
        #include <unistd.h>

        enum { CONTEXTS = 6, BATCH = 200, BLOCK = 4096 };

        static struct iocb requests[CONTEXTS][BATCH], *list[BATCH];
        static struct io_event events[BATCH];
        static char *memory;

        static long place(int context, int index)
        {
            return ((long)context * BATCH + index) * BLOCK;
        }

        static unsigned char mark(int context, int index)
        {
            return (unsigned char)(context * 37 + index * 11 + 1);
        }

        /* Submits a batch to each context and only then reaps; events that are not as expected. */
        static int round_trip(aio_context_t *contexts, int fd, int opcode)
        {
            int wrong = 0;

            for (int c = 0; c < CONTEXTS; c++) {
                for (int i = 0; i < BATCH; i++) {
                    requests[c][i] = (struct iocb){
                        .aio_data = (unsigned long)i, .aio_fildes = (unsigned int)fd,
                        .aio_lio_opcode = (unsigned short)opcode, .aio_nbytes = BLOCK,
                        .aio_buf = (unsigned long)(memory + place(c, i)),
                        .aio_offset = place(c, i)};
                    list[i] = &requests[c][i];
                }
                if (syscall(SYS_io_submit, contexts[c], BATCH, list) != BATCH)
                    return -errno;
            }
            for (int c = 0; c < CONTEXTS; c++) {
                if (syscall(SYS_io_getevents, contexts[c], BATCH, BATCH, events, NULL) != BATCH)
                    return -errno;
                for (int i = 0; i < BATCH; i++)
                    wrong += events[i].res != BLOCK || events[i].data >= BATCH ||
                             events[i].obj != (unsigned long)&requests[c][events[i].data];
            }
            return wrong;
        }

        int main(int count, char **arguments)
        {
            unsigned int most = (unsigned int)atoi(arguments[1]);
            aio_context_t contexts[CONTEXTS] = {0};
            int made = 0, changed = 0, direct = atoi(arguments[3]) ? O_DIRECT : 0;
            int fd = open(arguments[2], O_RDWR | O_CREAT | direct, 0600);

            if (fd < 0 || posix_memalign((void **)&memory, BLOCK, place(CONTEXTS, 0)))
                return 2 * (count > 0);
            while (made < CONTEXTS && syscall(SYS_io_setup, most + 1, &contexts[made]) == 0)
                made++;
            if (made < CONTEXTS) {
                printf("%d made, then %s\\n", made, strerrorname_np(errno));
                return 0;
            }
            for (int c = 0; c < CONTEXTS; c++)
                for (int i = 0; i < BATCH; i++)
                    memset(memory + place(c, i), mark(c, i), BLOCK);
            printf("written, %d wrong\\n", round_trip(contexts, fd, IOCB_CMD_PWRITE));
            memset(memory, 0, place(CONTEXTS, 0));
            printf("read, %d wrong\\n", round_trip(contexts, fd, IOCB_CMD_PREAD));
            for (int c = 0; c < CONTEXTS; c++)
                for (long i = 0; i < BATCH * BLOCK; i++)
                    changed += (unsigned char)memory[place(c, 0) + i] !=
                               mark(c, (int)(i / BLOCK));
            printf("%d bytes changed\\n", changed);
            for (int c = 0; c < CONTEXTS; c++)
                if (syscall(SYS_io_destroy, contexts[c]) != 0)
                    printf("%d cannot be destroyed\\n", c);
            return 0;
        }
        """

    private static let refusal = "0 made, then EAGAIN\n"
    private static let rightAnswer = """
        written, 0 wrong
        read, 0 wrong
        0 bytes changed

        """

    /// The bytes that the program writes.
    private static let pattern: Data = {
        var data = Data()
        for context in 0..<6 {
            for index in 0..<200 {
                data.append(
                    Data(
                        repeating: UInt8(truncatingIfNeeded: context * 37 + index * 11 + 1),
                        count: 4096))
            }
        }
        return data
    }()

    /// Of all contexts together; nil where one context can have as many.
    private static func limit() throws -> String? {
        let text = try String(contentsOfFile: "/proc/sys/fs/aio-max-nr", encoding: .utf8)
            .trimmingCharacters(in: .whitespacesAndNewlines)
        // The kernel's rings end at 4 Mi events.
        return try #require(Int(text)) < 4 << 20 ? text : nil
    }

    @Test(
        "Contexts that the kernel has no room for work", arguments: ["auto", "force"],
        [false, true])
    func beyondTheLimit(_ mode: String, _ isDirect: Bool) throws {
        if lacksCompiler() { return }
        guard let limit = try Self.limit() else {
            print("SKIP \(#function): aio-max-nr is no limit here")
            return
        }
        let scratch = try Scratch()
        let program = try scratch.compile(Self.program)
        let file = scratch.path + "/file"
        let arguments = [limit, file, isDirect ? "1" : "0"]
        let bare = try scratch.run(program, arguments)
        if bare.status == 2 {
            print("SKIP \(#function): no direct I/O in \(scratch.path)")
            return
        }
        #expect(bare.output == Self.refusal)
        let outcome = try scratch.iotrap(["run", "--mode", mode, program] + arguments)
        #expect(outcome.output == Self.rightAnswer, "\(outcome.errors)")
        #expect(outcome.status == 0)
        #expect(try Data(contentsOf: URL(fileURLWithPath: file)) == Self.pattern)
    }

    @Test("Where the library changes nothing the limit holds", arguments: ["off", "observe"])
    func withinTheLimit(_ mode: String) throws {
        if lacksCompiler() { return }
        guard let limit = try Self.limit() else {
            print("SKIP \(#function): aio-max-nr is no limit here")
            return
        }
        let scratch = try Scratch()
        let program = try scratch.compile(Self.program)
        let outcome = try scratch.iotrap(
            ["run", "--mode", mode, program, limit, scratch.path + "/file", "0"])
        #expect(outcome.output == Self.refusal, "\(outcome.errors)")
    }
}
