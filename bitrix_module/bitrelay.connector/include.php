<?php

// Promises: the module can be loaded; classes come from lib/ by the kernel's own autoloader.
// Leans on: nothing; whoever needs the rest module includes it, for most hits do not.
// Must never: touch the database, read options or return false.

declare(strict_types=1);

return true;
