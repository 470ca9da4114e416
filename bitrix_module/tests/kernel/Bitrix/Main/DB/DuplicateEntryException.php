<?php

// Promises: a broken unique key.
// Leans on: SqlQueryException.
// Must never: stand for another failure.

declare(strict_types=1);


namespace Bitrix\Main\DB;

class DuplicateEntryException extends SqlQueryException
{
}
