import IOTrapEngine

/// The texts of `iotrap help`.
enum Help {
    static let overview = """
        usage: iotrap run [--mode MODE] [--set KEY=VALUE]... [--stats] [--] PROGRAM [ARGUMENT]...
               iotrap stat PID|last [--json]
               iotrap doctor
               iotrap help | --version

        run     starts a program with the library preloaded
                --mode MODE      \(SettingNames.modes)
                --set KEY=VALUE  may be repeated; a later one wins. Keys:
                                 ring, split, group-sync, libaio, posix-aio, offload
                                                           on|off|auto: one technique
                                 split-chunk=SIZE          bytes of a piece (512K)
                                 split-depth=NUMBER        pieces in flight, 1 to 64
                                 sync-scope                auto|file|descriptor
                                 aio-context               auto|own
                                 backend                   uring|plain
                                 io-uring                  auto|on: on even under seccomp
                                 ring-descriptor           hidden|visible
                                 follow                    on|off: into executed programs
                --stats          waits for the end and prints what happened
                Options win over IOTRAP_MODE and IOTRAP_SET, which win over the defaults.
        stat    shows what the library did in a running process, or in one whose statistics
                were kept (IOTRAP_STATS=keep); last: the process that started last
        doctor  tells whether io_uring works here, and what to do if not

        Exit status of run: the program's own (128 + signal); 2 for a wrong setting or a target
        that cannot be preloaded, 126 for a program that cannot be executed, 127 for one that is
        missing. Of stat: 1 when there is nothing to show. Of doctor: 1 without acceleration.

        """
}
