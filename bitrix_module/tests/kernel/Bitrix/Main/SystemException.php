<?php

// Promises: the kernel's base exception.
// Leans on: nothing.
// Must never: hide its message.

declare(strict_types=1);


namespace Bitrix\Main;

class SystemException extends \Exception
{
}
