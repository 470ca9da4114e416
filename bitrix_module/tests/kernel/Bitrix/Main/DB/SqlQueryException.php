<?php

// Promises: a failed query.
// Leans on: SqlException.
// Must never: carry the query.

declare(strict_types=1);


namespace Bitrix\Main\DB;

class SqlQueryException extends SqlException
{
}
