<?php

// Promises: a failed connection or query.
// Leans on: SystemException.
// Must never: carry the query.

declare(strict_types=1);


namespace Bitrix\Main\DB;

class SqlException extends \Bitrix\Main\SystemException
{
}
