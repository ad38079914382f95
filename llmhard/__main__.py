from llmhard.cli import main

raise SystemExit(main())
