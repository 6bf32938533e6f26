import IOTrapEngine

/// The texts of `iotrap help`.
enum Help {
    static let overview = """
        usage: iotrap run [--mode MODE] [--set KEY=VALUE]... [--pool POOL]... [--config FILE]
                          [--stats] [--] PROGRAM [ARGUMENT]...
               iotrap stat PID|last [--json]
               iotrap doctor [--pool[=POOL] [--measure] [--within SECONDS]]
               iotrap generate PROFILE -o FILE [OPTION]... | --list | --show PROFILE
               iotrap trace info|export|import ...          iotrap trace --help says more
               iotrap replay FILE --on DIR [OPTION]...
               iotrap compare A.json B.json... [--json] | --merge RANK.json... [-o OUT]
               iotrap kpi --volume data|log DIR [OPTION]...
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
                                 mount-pools               on|off|auto
                --pool POOL      NAME:/MOUNT,/MOUNT[,OPTION]...: mounts that lead to the same
                                 files; added to IOTRAP_MOUNT_POOLS. Options:
                                 coherent=yes|no           spread buffered reads, too (no)
                                 same=yes|no               believe that files are the same (no)
                                 weights=N:N...            expected speeds, one a path
                                 primary=N|/MOUNT          the primary path (the first)
                                 bulk=all|off-primary      large transfers (all)
                                 chunk=SIZE                greatest piece, 64K to 16M (1M)
                                 hedge=off|PERCENTILE      when a slow read is repeated (off)
                                 answer-within=TIME|off    when a path is left alone (1, 500ms)
                                 protect=on|off|auto       small writes before bulk (auto)
                --config FILE    settings and pools from a file (IOTRAP_CONFIG)
                --stats          waits for the end and prints what happened
                Options win over variables (IOTRAP_MODE, IOTRAP_SET, IOTRAP_MOUNT_POOLS), which
                win over the file, which wins over the defaults.
        stat    shows what the library did in a running process, or in one whose statistics
                were kept (IOTRAP_STATS=keep); last: the process that started last
        doctor  tells whether io_uring works here, and what to do if not
                --pool[=POOL]    whether mount pools work instead: all that are configured, one
                                 by its name, or NAME:/PATH,/PATH. Makes a small file through
                                 one path, looks for it through the others, and removes it
                --measure        also how fast files are read through one path and through all
                --within SECONDS a mount that takes longer to answer counts as dead (5)

        replay  repeats the I/O of a trace in a directory and measures it; see replay --help
        compare shows results of replays side by side, or joins those of several machines
        kpi     measures and judges the certification figures of SAP HANA; see kpi --help

        Exit status of run: the program's own (128 + signal); 2 for a wrong setting or a target
        that cannot be preloaded, 126 for a program that cannot be executed, 127 for one that is
        missing. Of stat: 1 when there is nothing to show. Of doctor: 1 without acceleration,
        or with a pool that does not work.

        """
}
